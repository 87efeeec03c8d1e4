package intake

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Queue takes snapshots for good.
type Queue interface {
	// Add returns nil only when every one of the snapshots is on disk, and returns soon after ctx ends. Adding the same again
	// does no harm. It is safe for concurrent use, and its errors hold no secrets.
	Add(ctx context.Context, snapshots []mirror.Snapshot) error
}

// Defaults of a [Callback].
const (
	DefaultMaxBody         = 4 << 20 // bytes; some 40,000 pictures in one event
	DefaultCallbackTimeout = 4 * time.Second
)

// Callback is the HTTP handler that VOD's normal callback, or whoever forwards events, posts to. It answers 200 only when every
// snapshot that the body announces is in the queue, for VOD tries a few times at most and then forgets. The body is a bare
// event, {"EventSet":[...]}, {"Response":{...}}, an array, NDJSON, or a mixture. The answers:
//
//	200  everything is queued: {"queued":N,"foreign":M}, in events
//	400  something in the body can't be used; what can is queued
//	401  an [Auth] method was not passed; 403 from a wrong network
//	404  another path; 405 another method than POST
//	408  the body did not come in time
//	413  the body is larger than MaxBody; 415 it is compressed
//	503  the queue failed or is too slow, or memory is short: to be tried again, see Retry-After
//
// The exported fields must not change once it serves. A server around it must not cut writes off before Timeout.
type Callback struct {
	// Path is where events are posted, e.g. "/vod/callback". With Auth.PathSecret, it is Path + "/" + secret.
	Path  string
	Queue Queue
	Auth  Auth
	// Filter says which snapshots are queued. An event of which none is counts as foreign.
	Filter mirror.Filter
	// MaxBody is the largest body in bytes; 0 is DefaultMaxBody.
	MaxBody int64
	// Timeout is for a whole request, from its headers to its answer; 0 is DefaultCallbackTimeout. VOD gives up after 5 s.
	Timeout time.Duration
	// Log may be nil. What strangers send reaches it clipped and without control characters.
	Log *slog.Logger
	// Count is told of each outcome, for metrics, by many goroutines at once; may be nil.
	Count func(outcome EventOutcome, n int)
	// LeftOut is told of snapshots that Filter does not take, like Count.
	LeftOut func(n int)

	once     sync.Once
	bodies   *semaphore.Weighted // bytes
	decoder  *decoder
	denials  map[denial]*limit // each, so that a flood of one does not hide another
	failures limit
	items    limit
}

// Bounds on the memory of all requests together.
const (
	bodyBudget   = 64 << 20
	bodyOverhead = 128 << 10 // a request costs this beside its body: the scanner's block, the connection's buffers
	bodyWait     = 2 * time.Second
)

const retryAfter = "5" // seconds

func (c *Callback) init() {
	if c.MaxBody <= 0 {
		c.MaxBody = DefaultMaxBody
	}
	if c.Timeout <= 0 {
		c.Timeout = DefaultCallbackTimeout
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.bodies = semaphore.NewWeighted(max(bodyBudget, c.MaxBody+bodyOverhead))
	c.decoder = newDecoder()
	c.denials = map[denial]*limit{}
	for _, why := range []denial{wrongNetwork, wrongBasic, wrongPath, wrongSign, expiredSign} {
		c.denials[why] = &limit{every: 10 * time.Second, burst: 1}
	}
	c.failures = limit{every: 10 * time.Second, burst: 1}
	c.items = limit{every: time.Second / 10, burst: 100} // each is a picture that will be missing
}

// ServeHTTP answers one request.
func (c *Callback) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.once.Do(c.init)
	secret, ours := c.route(r.URL.Path)
	switch {
	case !ours:
		http.Error(w, "not found", http.StatusNotFound)
		return
	case r.Method != http.MethodPost:
		w.Header().Set("Allow", http.MethodPost)
		http.Error(w, "events are posted", http.StatusMethodNotAllowed)
		return
	}
	if why := c.Auth.head(r, secret); why != "" {
		c.deny(w, r, why)
		return
	}
	if coding := r.Header.Get("Content-Encoding"); coding != "" && !strings.EqualFold(coding, "identity") {
		c.compressed(w, r)
		return
	}
	if r.ContentLength > c.MaxBody {
		c.tooLarge(w, r)
		return
	}
	deadline := time.Now().Add(c.Timeout)
	body, free, ok := c.read(w, r, deadline)
	if !ok {
		return
	}
	defer free()
	if why := c.Auth.sign(r, body, time.Now()); why != "" {
		c.deny(w, r, why)
		return
	}
	if bytes.HasPrefix(body, []byte("\x1f\x8b")) {
		c.compressed(w, r) // gzip, and no header that says so
		return
	}
	// A client that goes away now may have been VOD's last try: what is here is queued all the same.
	ctx, cancel := context.WithDeadline(context.WithoutCancel(r.Context()), deadline)
	defer cancel()
	c.take(ctx, w, body)
}

// route gives what follows Path as its secret, and whether the path is ours at all.
func (c *Callback) route(path string) (secret string, ours bool) {
	if path == c.Path {
		return "", true
	}
	secret, below := strings.CutPrefix(path, strings.TrimSuffix(c.Path, "/")+"/")
	return secret, below && c.Auth.PathSecret != ""
}

// deny never tells the client which part was wrong.
func (c *Callback) deny(w http.ResponseWriter, r *http.Request, why denial) {
	c.count(EventUnauthorized, 1)
	if more, ok := c.denials[why].allow(time.Now()); ok {
		c.Log.Warn("callback refused: authentication failed", "remote", printable(r.RemoteAddr, 80), "check", string(why), "unlogged", more)
	}
	if why == wrongNetwork {
		http.Error(w, "forbidden", http.StatusForbidden)
		return
	}
	if c.Auth.basic() {
		w.Header().Set("WWW-Authenticate", `Basic realm="snapshot-mirror", charset="UTF-8"`)
	}
	http.Error(w, "unauthorized", http.StatusUnauthorized)
}

// compressed and tooLarge refuse what will not arrive otherwise either: somebody has to change a setting.
func (c *Callback) compressed(w http.ResponseWriter, r *http.Request) {
	c.count(EventMalformed, 1)
	if more, ok := c.items.allow(time.Now()); ok {
		c.Log.Warn("callback refused: its body is compressed", "remote", printable(r.RemoteAddr, 80), "unlogged", more)
	}
	w.Header().Set("Accept-Encoding", "identity")
	http.Error(w, "the body must not be compressed", http.StatusUnsupportedMediaType)
}

func (c *Callback) tooLarge(w http.ResponseWriter, r *http.Request) {
	c.count(EventTooLarge, 1)
	if more, ok := c.items.allow(time.Now()); ok {
		c.Log.Warn("callback refused: its body is too large", "remote", printable(r.RemoteAddr, 80), "limit", c.MaxBody, "unlogged", more)
	}
	http.Error(w, fmt.Sprintf("the body is larger than %d bytes", c.MaxBody), http.StatusRequestEntityTooLarge)
}

// refuse asks for another try. reason is for the client and err for the log.
func (c *Callback) refuse(w http.ResponseWriter, reason string, err error) {
	c.count(EventRefused, 1)
	if more, ok := c.failures.allow(time.Now()); ok {
		c.Log.Warn("callback refused: it must be sent again", "err", printable(err.Error(), 500), "unlogged", more)
	}
	w.Header().Set("Retry-After", retryAfter)
	http.Error(w, reason, http.StatusServiceUnavailable)
}

// read takes the body into memory that is accounted for until free is called. When ok is false, the answer has been given.
func (c *Callback) read(w http.ResponseWriter, r *http.Request, deadline time.Time) (body []byte, free func(), ok bool) {
	size := r.ContentLength
	if size < 0 {
		size = c.MaxBody
	}
	size += bodyOverhead
	wait, cancel := context.WithTimeout(r.Context(), min(bodyWait, time.Until(deadline)))
	defer cancel()
	if err := c.bodies.Acquire(wait, size); err != nil {
		if r.Context().Err() != nil {
			c.unread(w, r, err)
			return nil, nil, false
		}
		c.refuse(w, "too many requests at once; try again", errors.New("waiting for memory: too many requests at once"))
		return nil, nil, false
	}
	// Else slow clients would hold all the memory. Where deadlines are not supported, the server's own must do.
	_ = http.NewResponseController(w).SetReadDeadline(deadline)
	var buffer bytes.Buffer
	if r.ContentLength >= 0 {
		buffer.Grow(int(r.ContentLength) + bytes.MinRead) // what ReadFrom wants at least, so that it never grows again
	}
	if _, err := buffer.ReadFrom(http.MaxBytesReader(w, r.Body, c.MaxBody)); err != nil {
		c.bodies.Release(size)
		c.unread(w, r, err)
		return nil, nil, false
	}
	if spare := size - bodyOverhead - int64(buffer.Len()); spare > 0 {
		c.bodies.Release(spare)
		size -= spare
	}
	return buffer.Bytes(), func() { c.bodies.Release(size) }, true
}

// unread answers where the body can't be read to its end.
func (c *Callback) unread(w http.ResponseWriter, r *http.Request, err error) {
	if _, over := errors.AsType[*http.MaxBytesError](err); over {
		c.tooLarge(w, r)
		return
	}
	c.count(EventAborted, 1)
	c.Log.Debug("callback's body did not come to its end", "err", printable(err.Error(), 200))
	status, reason := http.StatusBadRequest, "the body can't be read to its end"
	if errors.Is(err, os.ErrDeadlineExceeded) {
		status, reason = http.StatusRequestTimeout, "the body did not come in time"
	}
	http.Error(w, reason, status)
}

// taken is what became of one body's pieces.
type taken struct {
	queued, foreign, bad int
	first                error // of the bad ones, with its line
}

func (t *taken) malformed(line int, err error) {
	t.bad++
	if t.first == nil {
		t.first = fmt.Errorf("line %d: %w", line, err)
	}
}

// complaint is the text of a 400.
func (t *taken) complaint() string {
	first, good := printable(t.first.Error(), 300), t.queued+t.foreign
	switch {
	case good > 0:
		return fmt.Sprintf("%d of %d events can't be used, the rest is queued; the first on %s", t.bad, good+t.bad, first)
	case t.bad > 1:
		return fmt.Sprintf("nothing is queued: none of %d pieces is an event that can be used; the first on %s", t.bad, first)
	}
	return "nothing is queued: " + first
}

// take queues the body's events one after the other, holding one at a time, and answers.
func (c *Callback) take(ctx context.Context, w http.ResponseWriter, body []byte) {
	var t taken
	scanner := vod.NewScanner(bytes.NewReader(body))
	for range len(body) + 1 { // each piece has a byte at least: no input makes this go round for ever
		if err := ctx.Err(); err != nil { // millions of bad pieces take their time, too
			c.refuse(w, "the body took too long; try again", err)
			return
		}
		text, line, err := scanner.Next()
		if err == io.EOF {
			break
		}
		if bad, ok := errors.AsType[*vod.Malformed](err); ok {
			c.malformed(&t, bad.Line, bad.Err)
			continue
		}
		if err != nil { // can't be: the body is in memory
			c.malformed(&t, scanner.Line(), err)
			break
		}
		if err := c.event(ctx, &t, text, line); err != nil {
			c.refuse(w, "the events can't be queued now; try again", err)
			return
		}
	}
	if t.queued+t.foreign+t.bad == 0 {
		c.malformed(&t, 1, errors.New("the body holds no event"))
	}
	c.Log.Debug("callback taken", "queued", t.queued, "foreign", t.foreign, "malformed", t.bad)
	if t.bad > 0 {
		http.Error(w, t.complaint(), http.StatusBadRequest)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	_, _ = fmt.Fprintf(w, `{"queued":%d,"foreign":%d}`+"\n", t.queued, t.foreign)
}

// event decodes and queues one event. An error is the queue's, or says that it can't be reached in time.
func (c *Callback) event(ctx context.Context, t *taken, text []byte, line int) error {
	event, free, err := c.decoder.decode(ctx, text)
	defer free()
	if ctx.Err() != nil {
		return fmt.Errorf("waiting for memory to decode an event: %w", ctx.Err())
	}
	if err != nil {
		c.malformed(t, line, err)
		return nil
	}
	wanted, leftOut := c.Filter.Split(event.Snapshots)
	if len(wanted) > 0 {
		if err := c.Queue.Add(ctx, wanted); err != nil {
			return err
		}
		c.count(EventQueued, 1)
		t.queued++
	}
	if leftOut > 0 && c.LeftOut != nil {
		c.LeftOut(leftOut)
	}
	// Told only now, as a queue that fails brings the event again.
	for _, failed := range event.Failed {
		if more, ok := c.items.allow(time.Now()); ok {
			logAnnounced(c.Log, failed, more)
		}
	}
	for _, err := range event.Malformed {
		c.warn(line, err)
	}
	switch {
	case len(event.Malformed) > 0:
		c.count(EventMalformed, 1)
		if len(wanted)+leftOut == 0 {
			t.malformed(line, event.Malformed[0])
		}
	case len(wanted) == 0:
		c.count(EventForeign, 1)
		t.foreign++
	}
	return nil
}

func (c *Callback) malformed(t *taken, line int, err error) {
	c.count(EventMalformed, 1)
	c.warn(line, err)
	t.malformed(line, err)
}

func (c *Callback) warn(line int, err error) {
	if more, ok := c.items.allow(time.Now()); ok {
		c.Log.Warn("malformed input passed over", "line", line, "err", printable(err.Error(), 300), "unlogged", more)
	}
}

func (c *Callback) count(outcome EventOutcome, n int) {
	if c.Count != nil {
		c.Count(outcome, n)
	}
}
