package mirror

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Store is where pictures go. Its methods are safe for concurrent use. Errors other than the context's are *store.Error or
// wrap store.ErrNotFound. A store retries briefly by itself; longer waits are the caller's.
type Store interface {
	// Head tells what is recorded about an object, or an error that wraps store.ErrNotFound.
	Head(ctx context.Context, key string) (store.Info, error)
	// Put stores the object whole or not at all, in place of one that was there. When it returns nil, the object is durable
	// as the store understands it, and the store has verified a checksum of it.
	Put(ctx context.Context, o store.Object) error
	// Excludes says whether a put with IfAbsent is sure to find out about an object that is there, whoever puts it and when.
	Excludes() bool
}

// Options are what a Worker needs to know. The zero value of a number means its default.
type Options struct {
	Key KeyTemplate
	// Concurrency is how many snapshots are worked on at once; it sizes the connection pools. Default 32.
	Concurrency int
	// HostConcurrency is how many fetches from one host may be under way. Default Concurrency.
	HostConcurrency int
	// Bandwidth is how many bytes of pictures a second are fetched at most, in all. 0 is no limit.
	Bandwidth int64
	// Rate is how many fetches a second may begin from one host, retries included. 0 is no limit.
	Rate float64
	// MaxImageSize is the largest picture in bytes. Default 64 MiB.
	MaxImageSize int64
	// BytesInFlight is the memory for pictures in bytes, of all snapshots together; at least MaxImageSize. Default 256 MiB.
	BytesInFlight int64
	// SourceRetries is how often an attempt that failed for a passing reason is repeated within seconds. No default.
	SourceRetries int
	// IdleTimeout breaks off a source connection on which no byte moves. Default 15 s.
	IdleTimeout time.Duration
	// AttemptTimeout breaks off an attempt that takes longer, whatever moves. Default 5 min.
	AttemptTimeout time.Duration
	// AllowPrivateSources opens addresses that are not public and ports other than 80 and 443.
	AllowPrivateSources bool
	// Proxy is what all fetches go through; nil is none, whatever the environment says. Then the proxy alone sees the addresses
	// that names lead to, and AllowPrivateSources is about ports and addresses in URLs.
	Proxy  *url.URL
	Origin Origin
	// StorePatience is how long a batch waits for a store that takes nothing, before it ends. Default 2 min.
	StorePatience time.Duration
	// DryRun looks at what is there, and neither fetches nor stores.
	DryRun    bool
	UserAgent string
	Log       *slog.Logger
	// Retried says that whoever calls tries again what failed, and tells of it: each failure is logged at the debug level only,
	// and snapshots of a host in back-off fail at once, with Held set, instead of waiting for it.
	Retried bool
	// Registerer gets the metrics; nil is none.
	Registerer prometheus.Registerer

	tune func(*net.Dialer, *http.Transport) // for tests: another resolver, another authority
}

// Defaults that the settings share.
const (
	DefaultConcurrency    = 32
	DefaultMaxImageSize   = 64 << 20
	DefaultBytesInFlight  = 256 << 20
	DefaultIdleTimeout    = 15 * time.Second
	DefaultAttemptTimeout = 5 * time.Minute
	DefaultStorePatience  = 2 * time.Minute
)

// Worker mirrors snapshots. It is safe for concurrent use and has nothing to close.
type Worker struct {
	options Options
	store   Store
	fetcher fetcher
	keys    keyLock
	absence absence
	metrics *metrics
	log     *slog.Logger
}

// New makes a Worker. It checks the options and starts nothing.
func New(s Store, o Options) (*Worker, error) {
	setDefault(&o.Concurrency, DefaultConcurrency)
	setDefault(&o.MaxImageSize, DefaultMaxImageSize)
	setDefault(&o.BytesInFlight, DefaultBytesInFlight)
	setDefault(&o.HostConcurrency, o.Concurrency)
	o.HostConcurrency = min(o.HostConcurrency, o.Concurrency)
	setDefault(&o.IdleTimeout, DefaultIdleTimeout)
	setDefault(&o.StorePatience, DefaultStorePatience)
	setDefault(&o.AttemptTimeout, DefaultAttemptTimeout)
	setDefault(&o.UserAgent, "snapshot-mirror")
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.Key.parts == nil {
		var err error
		if o.Key, err = ParseKeyTemplate(DefaultKeyTemplate); err != nil {
			return nil, err
		}
	}
	if o.BytesInFlight < o.MaxImageSize {
		return nil, fmt.Errorf("--bytes-in-flight %d is less than --max-image-size %d: no picture of that size could ever be fetched",
			o.BytesInFlight, o.MaxImageSize)
	}
	w := &Worker{options: o, store: s, metrics: newMetrics(o.Registerer), log: o.Log}
	w.fetcher = fetcher{
		client: newSourceClient(o), hosts: newHosts(o), buffers: newBuffers(o.BytesInFlight), bandwidth: newBandwidth(o.Bandwidth), options: o, log: o.Log,
	}
	return w, nil
}

func setDefault[T comparable](v *T, def T) {
	var zero T
	if *v == zero {
		*v = def
	}
}

// Mirror sees to it that the snapshot is in the store, proven whole. A snapshot that fails is a Result; the error is the
// context's or errStopped, when the work was interrupted or not begun, which is not a failed attempt. While it waits for the
// snapshot's host, it lends its caller's place: see [Places].
func (w *Worker) Mirror(ctx context.Context, s Snapshot) (Result, error) {
	r, err := w.try(ctx, s)
	if err == nil {
		w.tell(ctx, r)
	}
	return r, err
}

// tell counts and logs a result.
func (w *Worker) tell(ctx context.Context, r Result) {
	w.metrics.result(r)
	w.logResult(ctx, r)
}

// try is Mirror without a word.
func (w *Worker) try(ctx context.Context, s Snapshot) (Result, error) {
	return w.attempt(ctx, Result{Snapshot: s}, func(r *Result) error { return w.mirror(ctx, s, r, false) })
}

// attempt does a piece of work, and makes its error the result's.
func (w *Worker) attempt(ctx context.Context, r Result, do func(*Result) error) (Result, error) {
	if err := placeOf(ctx).begin(); err != nil {
		return Result{}, err
	}
	begin := time.Now()
	err := do(&r)
	if err != nil && ctx.Err() != nil {
		return Result{}, ctx.Err()
	}
	if errors.Is(err, errStopped) {
		return Result{}, err
	}
	if err != nil {
		f, ok := asFailure(err)
		if !ok {
			f = storeFailure(err)
		}
		r.Outcome, r.Reason, r.Err, r.RetryAfter = Failed, f.Reason, err, f.RetryAfter
		r.Held = f.Held
	}
	r.Elapsed = time.Since(begin)
	return r, nil
}

// keyOf gives a snapshot's key, or a Failure.
func (w *Worker) keyOf(s Snapshot) (string, error) {
	err := s.Validate()
	if err != nil {
		return "", &Failure{Reason: BadSnapshot, Err: err}
	}
	key, err := w.options.Key.Expand(s)
	if err != nil {
		return "", &Failure{Reason: BadSnapshot, Err: err}
	}
	return key, nil
}

// mirror does the steps in their order: key, exists?, fetch and prove, put. With replace, what exists is not asked for, and
// replaced: the caller knows that it is wrong.
func (w *Worker) mirror(ctx context.Context, s Snapshot, r *Result, replace bool) error {
	key, err := w.keyOf(s)
	if err != nil {
		return err
	}
	r.Key = key
	unlock, err := w.keys.lock(ctx, key)
	if err != nil {
		return err
	}
	defer unlock()

	there, absent := false, !replace
	if !replace && (w.options.DryRun || !w.absence.presumed(w.store)) {
		if there, absent, err = w.look(ctx, key, s); err != nil {
			return err
		}
		w.absence.seen(absent)
	}
	if there {
		r.Outcome = Skipped
		return nil
	}
	if w.options.DryRun {
		r.Outcome = WouldMirror
		return nil
	}

	f := fetch{fetcher: &w.fetcher, ctx: ctx}
	begin := time.Now()
	err = f.get(s.URL)
	since(w.metrics.fetch, begin)
	r.Attempts = f.attempts
	if err != nil {
		f.release()
		return err
	}
	begin = time.Now()
	object := store.Object{
		Key: key, Body: f.picture.body, MD5: f.picture.md5, CRC32C: f.picture.crc32c, ContentType: f.picture.contentType,
		Metadata: metadata(s, f.picture), IfAbsent: absent,
	}
	err = w.store.Put(ctx, object)
	if errors.Is(err, store.ErrExists) { // presumed wrongly, or another process has been faster: what is it?
		w.absence.seen(false)
		if there, _, err = w.look(ctx, key, s); err == nil && !there {
			object.IfAbsent = false
			err = w.store.Put(ctx, object)
		}
	}
	since(w.metrics.put, begin)
	f.release() // the store reads nothing after Put has returned
	switch {
	case err != nil:
		return err
	case there:
		r.Outcome = Skipped
	default:
		r.Outcome, r.Bytes = Mirrored, int64(len(object.Body))
	}
	return nil
}

// Names of the metadata that every object carries.
const (
	metaFileID     = "file-id"
	metaTimeOffset = "time-offset"
	metaDefinition = "definition"
	metaTaskID     = "task-id"
	metaSourceURL  = "source-url"
	metaSourceETag = "source-etag"
	metaSize       = "size"   // bytes, decimal
	metaCRC32C     = "crc32c" // Castagnoli, 8 hex digits
)

// maxMetaURL keeps the metadata of one object below S3's 2 KiB.
const maxMetaURL = 512

// metadata is what is recorded with the picture. Values are percent-encoded where they are more than plain ids, so that a
// stranger's text can't forge a header. The source's query is left out: it may be a signature.
func metadata(s Snapshot, p picture) map[string]string {
	m := map[string]string{
		metaFileID:     url.PathEscape(s.FileID),
		metaTimeOffset: s.TimeOffset.String(),
		metaDefinition: strconv.FormatInt(s.Definition, 10),
		metaSize:       strconv.Itoa(len(p.body)),
		metaCRC32C:     hexCRC32C(p.crc32c),
	}
	if s.TaskID != "" {
		m[metaTaskID] = url.PathEscape(s.TaskID)
	}
	if u, err := url.Parse(s.URL); err == nil {
		u.RawQuery, u.Fragment = "", ""
		if text := u.String(); len(text) <= maxMetaURL {
			m[metaSourceURL] = text
		}
	}
	if etag := url.PathEscape(p.etag); etag != "" && len(etag) <= 128 {
		m[metaSourceETag] = etag
	}
	return m
}

// look says whether the store holds this very picture, and whether it holds none. An object without our record (an older
// script's, say) is not proven to be anything, and is replaced.
func (w *Worker) look(ctx context.Context, key string, s Snapshot) (there, absent bool, _ error) {
	info, err := w.store.Head(ctx, key)
	if errors.Is(err, store.ErrNotFound) {
		return false, true, nil
	}
	if err != nil {
		return false, false, err
	}
	recorded, ok := info.Metadata[metaDefinition]
	if !ok {
		return false, false, nil
	}
	if definition := strconv.FormatInt(s.Definition, 10); recorded != definition {
		return false, false, failf(KeyConflict, "the key %q holds a picture of definition %q, this one has definition %s; add {definition} to --key-template",
			key, clip(recorded, 24), definition)
	}
	if size, ok := info.Metadata[metaSize]; ok && size != strconv.FormatInt(info.Size, 10) {
		return false, false, nil // the record is not of these bytes
	}
	// A listing names no task: it can't tell a re-take, so what is there will do.
	return s.TaskID == "" || info.Metadata[metaTaskID] == url.PathEscape(s.TaskID), false, nil
}

// storeFailure gives a store's error its reason.
func storeFailure(err error) *Failure {
	reason := StoreUnavailable
	if e, ok := errors.AsType[*store.Error](err); ok {
		switch e.Kind {
		case store.Denied:
			reason = StoreDenied
		case store.Rejected:
			reason = StoreRejected
		}
	}
	return &Failure{Reason: reason, Err: err}
}

func (w *Worker) logResult(ctx context.Context, r Result) {
	level, message := slog.LevelDebug, "snapshot done"
	switch {
	case r.Outcome == Wrong:
		level, message = slog.LevelWarn, "snapshot wrong"
	case r.Outcome == Failed:
		message = "snapshot failed"
		if !w.options.Retried {
			level = slog.LevelWarn
		}
	}
	if !w.log.Enabled(ctx, level) {
		return
	}
	attrs := []slog.Attr{
		slog.String("file_id", clip(r.Snapshot.FileID, maxIDBytes)), slog.String("time_offset", r.Snapshot.TimeOffset.String()),
		slog.Int64("definition", r.Snapshot.Definition), slog.String("task_id", clip(r.Snapshot.TaskID, maxIDBytes)), slog.String("key", r.Key),
		slog.Int("attempts", r.Attempts), slog.String("outcome", string(r.Outcome)),
	}
	if r.Found != "" {
		attrs = append(attrs, slog.String("found", string(r.Found)))
	}
	switch r.Outcome {
	case Failed:
		attrs = append(attrs, slog.String("reason", string(r.Reason)), slog.String("err", r.Err.Error()))
	case Wrong:
		attrs = append(attrs, slog.String("err", r.Err.Error()))
	default:
		attrs = append(attrs, slog.Int64("bytes", r.Bytes))
	}
	w.log.LogAttrs(ctx, level, message, append(attrs, slog.Duration("elapsed", r.Elapsed))...)
}
