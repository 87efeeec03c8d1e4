package intake_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// recorder is a Queue in memory. Set the fields before it is used.
type recorder struct {
	fail    func(n int) error // asked with the number of Adds before; may be nil
	entered chan struct{}     // where not nil, told of each Add
	release chan struct{}     // where not nil, waited for by each Add

	mu    sync.Mutex
	adds  int
	added []string // "file@offset,..." of each event
}

func (q *recorder) Add(ctx context.Context, snapshots []mirror.Snapshot) error {
	if q.entered != nil {
		q.entered <- struct{}{}
	}
	if q.release != nil {
		select {
		case <-q.release:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.adds++
	if q.fail != nil {
		if err := q.fail(q.adds - 1); err != nil {
			return err
		}
	}
	var names []string
	for _, s := range snapshots {
		names = append(names, s.FileID+"@"+s.TimeOffset.String())
	}
	q.added = append(q.added, strings.Join(names, ","))
	return nil
}

func (q *recorder) all() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	return slices.Clone(q.added)
}

// watch is what a Callback logs and counts.
type watch struct {
	mu     sync.Mutex
	log    bytes.Buffer
	counts map[intake.CallbackOutcome]int
}

func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *watch) count(outcome intake.CallbackOutcome, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[intake.CallbackOutcome]int{}
	}
	w.counts[outcome] += n
}

func (w *watch) counted() map[intake.CallbackOutcome]int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.counts)
}

// lines gives the logged lines of a level, as "message key=value ..." with the values unescaped.
func (w *watch) lines(t testing.TB, level slog.Level) []string {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines []string
	for line := range bytes.Lines(w.log.Bytes()) {
		var fields map[string]any
		if err := json.Unmarshal(line, &fields); err != nil {
			t.Fatal(err)
		}
		if fields["level"] != level.String() {
			continue
		}
		text := fields["msg"].(string)
		for _, key := range slices.Sorted(maps.Keys(fields)) {
			if key != "level" && key != "msg" && key != "time" {
				text += fmt.Sprintf(" %s=%v", key, fields[key])
			}
		}
		lines = append(lines, text)
	}
	return lines
}

// newCallback gives a Callback at /cb with a queue in memory.
func newCallback(q *recorder) (*intake.Callback, *watch) {
	w := &watch{}
	log := slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: slog.LevelDebug}))
	return &intake.Callback{Path: "/cb", Queue: q, Log: log, Count: w.count}, w
}

// answer is what a client gets.
type answer struct {
	status int
	header http.Header
	body   string
}

func send(t testing.TB, r *http.Request) answer {
	t.Helper()
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Error(err) // not Fatal: some tests send from goroutines
		return answer{}
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return answer{resp.StatusCode, resp.Header, string(body)}
}

func post(t testing.TB, url, body string) answer {
	t.Helper()
	return send(t, request(t, http.MethodPost, url, strings.NewReader(body)))
}

func request(t testing.TB, method, url string, body io.Reader) *http.Request {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, body)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func sample(t testing.TB, name string) string {
	t.Helper()
	text, err := os.ReadFile("../vod/testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

const (
	foreignEvent = `{"EventType": "NewFileUpload", "FileUploadEvent": {"FileId": "5285890780000000007", "ProcedureTaskId": ""}}`
	partialEvent = `{"EventType": "CreateSnapshotByTimeOffsetComplete", "SnapshotByTimeOffsetCompleteEvent": {
		"TaskId": "CreateSnapshotByTimeOffset-00000000000000000000000000000002", "FileId": "5285890780000000002", "Definition": 20,
		"SnapshotInfoSet": [
			{"ErrCode": 0, "TimeOffset": 0, "Url": "http://h/5285890780000000002/0.jpg"},
			{"ErrCode": -44098, "TimeOffset": 99000, "Url": ""},
			{"ErrCode": 0, "TimeOffset": 5000, "Url": "http://h/5285890780000000002/1.jpg"}]}}`
	failedEvent = `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"f","SnapshotInfoSet":[{"ErrCode":-44001,"TimeOffset":7}]}}`
)

// items is an event of ours with the items given as JSON.
func items(text string) string {
	return `{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"f","SnapshotInfoSet":[` + text + `]}}`
}

type counts = map[intake.CallbackOutcome]int

func TestCallback(t *testing.T) {
	a, b := event("a"), event("b")
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Set(pairs[i], pairs[i+1])
		}
		return h
	}
	tests := []struct {
		name         string
		method, path string // POST and /cb when empty
		header       http.Header
		body         string
		chunked      bool
		status       int
		answer       string // "…" where neither it nor what is counted matters
		queued       []string
		counts       counts
	}{
		{name: "documented callback", body: sample(t, "callback-v3.json"), status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"14508071098244929440@10000,14508071098244929440@20000"}, counts: counts{"queued": 1}},
		{name: "documented pull answer", body: sample(t, "pull-v3.json"), status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"14508071098244929440@10000,14508071098244929440@20000"}, counts: counts{"queued": 1}},
		{name: "partly failed", body: partialEvent, status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"5285890780000000002@0,5285890780000000002@5000"}, counts: counts{"queued": 1}},
		{name: "foreign", body: foreignEvent, status: 200, answer: `{"queued":0,"foreign":1}`, counts: counts{"foreign": 1}},
		{name: "nothing but failures", body: failedEvent, status: 200, answer: `{"queued":0,"foreign":1}`, counts: counts{"foreign": 1}},
		{name: "chunked", body: a, chunked: true, status: 200, answer: `{"queued":1,"foreign":0}`, queued: []string{"a@1"}, counts: counts{"queued": 1}},
		{name: "any content type", header: header("Content-Type", "image/png"), body: a, status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"a@1"}, counts: counts{"queued": 1}},
		{name: "NDJSON", body: a + foreignEvent + "\n" + b, status: 200, answer: `{"queued":2,"foreign":1}`,
			queued: []string{"a@1", "b@1"}, counts: counts{"queued": 2, "foreign": 1}},
		{name: "array", body: "[" + a + "," + b + "]", status: 200, answer: `{"queued":2,"foreign":0}`, queued: []string{"a@1", "b@1"}, counts: counts{"queued": 2}},
		{name: "EventSet", body: `{"EventSet":[` + a + "," + b + "]}", status: 200, answer: `{"queued":2,"foreign":0}`,
			queued: []string{"a@1", "b@1"}, counts: counts{"queued": 2}},
		{name: "one item malformed", body: items(`{"TimeOffset":"x","Url":"u"},{"TimeOffset":3,"Url":"u"}`), status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"f@3"}, counts: counts{"queued": 1, "malformed": 1}},

		{name: "every item malformed", body: items(`{"TimeOffset":"x","Url":"u"}`), status: 400,
			answer: `1 of 1 events can't be used, the rest is queued; the first on line 1: item 0: time offset "x" is not a number of milliseconds`,
			counts: counts{"malformed": 1}},
		{name: "empty", body: "", status: 400, counts: counts{"malformed": 1},
			answer: "1 of 1 events can't be used, the rest is queued; the first on line 1: the body holds no event"},
		{name: "empty and chunked", body: "", chunked: true, status: 400, counts: counts{"malformed": 1},
			answer: "1 of 1 events can't be used, the rest is queued; the first on line 1: the body holds no event"},
		{name: "empty set", body: `{"EventSet":[]}`, status: 400, counts: counts{"malformed": 1},
			answer: "1 of 1 events can't be used, the rest is queued; the first on line 1: the body holds no event"},
		{name: "not JSON", body: "hello\r\n", status: 400, counts: counts{"malformed": 1},
			answer: "1 of 1 events can't be used, the rest is queued; the first on line 1: no JSON object or array: unexpected 'h'"},
		{name: "no event", body: `{"a":1}`, status: 400, counts: counts{"malformed": 1},
			answer: "1 of 1 events can't be used, the rest is queued; the first on line 1: no EventType: this is not an event of VOD's"},
		{name: "two events, first bad", body: "{\"a\":\x01}\n" + a, status: 400, queued: []string{"a@1"}, counts: counts{"queued": 1, "malformed": 1},
			answer: `1 of 2 events can't be used, the rest is queued; the first on line 1: unexpected '\x01' on line 1`},
		{name: "two events, last bad", body: a + "{\"EventType\":", status: 400, queued: []string{"a@1"}, counts: counts{"queued": 1, "malformed": 1},
			answer: "1 of 2 events can't be used, the rest is queued; the first on line 2: the input ends inside it"},
		{name: "control characters quoted", body: items(`{"TimeOffset":"\n\u001b[31m","Url":"u"}`), status: 400, counts: counts{"malformed": 1},
			answer: `1 of 1 events can't be used, the rest is queued; the first on line 1: item 0: time offset "\n\x1b[31m" is not a number of milliseconds`},
		{name: "long text clipped", body: items(`{"ErrCode":"` + strings.Repeat("y", 500) + `"}`), status: 400, counts: counts{"malformed": 1},
			answer: `1 of 1 events can't be used, the rest is queued; the first on line 1: item 0: ErrCode "` + strings.Repeat("y", 40) + `" is not a whole number`},
		{name: "nested for ever", body: strings.Repeat("[", 300), status: 400, answer: "…"},
		{name: "more items than memory", body: items(strings.Repeat("{},", 300_000) + "{}"), status: 400, counts: counts{"malformed": 1},
			answer: "1 of 1 events can't be used, the rest is queued; the first on line 1: the event has too many items"},

		{name: "GET", method: "GET", status: 405, answer: "events are posted"},
		{name: "PUT", method: "PUT", body: a, status: 405, answer: "events are posted"},
		{name: "other path", path: "/", body: a, status: 404, answer: "not found"},
		{name: "below the path", path: "/cb/x", body: a, status: 404, answer: "not found"},
		{name: "trailing slash", path: "/cb/", body: a, status: 404, answer: "not found"},
		{name: "gzip", header: header("Content-Encoding", "gzip"), body: gzipped(a), status: 415, answer: "the body must not be compressed",
			counts: counts{"malformed": 1}},
		{name: "identity", header: header("Content-Encoding", "identity"), body: a, status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"a@1"}, counts: counts{"queued": 1}},
		{name: "as large as allowed", body: a + strings.Repeat(" ", 1<<20-len(a)), status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"a@1"}, counts: counts{"queued": 1}},
		{name: "as large as allowed, chunked", body: a + strings.Repeat(" ", 1<<20-len(a)), chunked: true, status: 200, answer: `{"queued":1,"foreign":0}`,
			queued: []string{"a@1"}, counts: counts{"queued": 1}},
		{name: "too large", body: a + strings.Repeat(" ", 1<<20-len(a)+1), status: 413, answer: "the body is larger than 1048576 bytes", counts: counts{"too_large": 1}},
		{name: "too large, chunked", body: a + strings.Repeat(" ", 1<<20-len(a)+1), chunked: true, status: 413,
			answer: "the body is larger than 1048576 bytes", counts: counts{"too_large": 1}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := &recorder{}
			c, w := newCallback(q)
			c.MaxBody = 1 << 20
			if test.method == "" {
				test.method = http.MethodPost
			}
			if test.path == "" {
				test.path = "/cb"
			}
			var body io.Reader = strings.NewReader(test.body)
			if test.chunked {
				body = struct{ io.Reader }{body} // of no known length
			}
			r := request(t, test.method, storetest.Serve(t, c)+test.path, body)
			maps.Copy(r.Header, test.header)
			got := send(t, r)
			if got.status != test.status {
				t.Errorf("status %d, want %d", got.status, test.status)
			}
			if diff := cmp.Diff(got.body, test.answer+"\n"); diff != "" && test.answer != "…" {
				t.Errorf("answer (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(q.all(), test.queued); diff != "" {
				t.Errorf("queued (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(w.counted(), test.counts); diff != "" && test.answer != "…" {
				t.Errorf("counted (-got +want):\n%s", diff)
			}
			if got.status == 405 && got.header.Get("Allow") != "POST" {
				t.Errorf("Allow: %q", got.header.Get("Allow"))
			}
			wantType := "text/plain; charset=utf-8"
			if test.status == 200 {
				wantType = "application/json"
			}
			if got.header.Get("Content-Type") != wantType {
				t.Errorf("Content-Type: %q, want %q", got.header.Get("Content-Type"), wantType)
			}
			for outcome := range w.counted() {
				if !slices.ContainsFunc(intake.CallbackOutcomes, func(row struct {
					Outcome intake.CallbackOutcome
					Meaning string
				}) bool {
					return row.Outcome == outcome && row.Meaning != ""
				}) {
					t.Errorf("outcome %q is not in the table", outcome)
				}
			}
		})
	}
}

// Only the length that is announced can be what makes it too large: nothing of the body is sent.
func TestCallbackTooLargeByLength(t *testing.T) {
	c, w := newCallback(&recorder{})
	conn := dial(t, storetest.Serve(t, c))
	fmt.Fprintf(conn, "POST /cb HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", intake.DefaultMaxBody+1)
	if got := conn.status(t); got != 413 {
		t.Errorf("status %d, want 413", got)
	}
	if diff := cmp.Diff(w.counted(), counts{"too_large": 1}); diff != "" {
		t.Errorf("counted (-got +want):\n%s", diff)
	}
}

// rawConn is a client whose bytes the test writes itself.
type rawConn struct {
	net.Conn
	answers *bufio.Reader
}

func dial(t *testing.T, url string) rawConn {
	t.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
	return rawConn{conn, bufio.NewReader(conn)}
}

// status reads an answer, or a 100 Continue.
func (c rawConn) status(t *testing.T) int {
	t.Helper()
	line, err := c.answers.ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var status int
	if _, err := fmt.Sscanf(line, "HTTP/1.1 %d", &status); err != nil {
		t.Fatalf("answer %q", line)
	}
	return status
}

func TestCallbackSlowBody(t *testing.T) {
	q := &recorder{}
	c, w := newCallback(q)
	c.Timeout = 200 * time.Millisecond
	conn := dial(t, storetest.Serve(t, c))
	fmt.Fprintf(conn, "POST /cb HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(event("a"))+1, event("a"))
	if got := conn.status(t); got != 408 {
		t.Errorf("status %d, want 408", got)
	}
	if diff := cmp.Diff(w.counted(), counts{"aborted": 1}); diff != "" {
		t.Errorf("counted (-got +want):\n%s", diff)
	}
	if got := q.all(); got != nil {
		t.Errorf("queued %q of half a body", got)
	}
}

// A client that goes away before the body's end leaves nothing behind, and nothing to be alarmed at.
func TestCallbackClientGone(t *testing.T) {
	q := &recorder{}
	c, w := newCallback(q)
	done := make(chan struct{})
	conn := dial(t, storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		c.ServeHTTP(w, r)
	})))
	fmt.Fprintf(conn, "POST /cb HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\n%s", event("a"))
	_ = conn.Close()
	<-done
	if diff := cmp.Diff(w.counted(), counts{"aborted": 1}); diff != "" {
		t.Errorf("counted (-got +want):\n%s", diff)
	}
	if got := w.lines(t, slog.LevelWarn); got != nil {
		t.Errorf("warned: %q", got)
	}
	if got := q.all(); got != nil {
		t.Errorf("queued %q of half a body", got)
	}
}

// It may have been VOD's last try: what has come whole is queued, though nobody hears the answer.
func TestCallbackClientGoneLate(t *testing.T) {
	q := &recorder{entered: make(chan struct{}), release: make(chan struct{})}
	c, w := newCallback(q)
	c.Timeout = 20 * time.Second
	noticed, done := make(chan struct{}), make(chan struct{})
	conn := dial(t, storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer close(done)
		context.AfterFunc(r.Context(), func() { close(noticed) })
		c.ServeHTTP(w, r)
	})))
	fmt.Fprintf(conn, "POST /cb HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", len(event("a")), event("a"))
	<-q.entered
	_ = conn.Close()
	<-noticed
	close(q.release)
	<-done
	if diff := cmp.Diff(q.all(), []string{"a@1"}); diff != "" {
		t.Errorf("queued (-got +want):\n%s", diff)
	}
	if got := w.lines(t, slog.LevelWarn); got != nil {
		t.Errorf("warned: %q", got)
	}
}

func TestCallbackQueueFails(t *testing.T) {
	q := &recorder{fail: func(n int) error {
		if n%2 == 1 {
			return errors.New("the disk\x1b[31m is full")
		}
		return nil
	}}
	c, w := newCallback(q)
	url := storetest.Serve(t, c) + "/cb"
	for range 5 {
		got := post(t, url, event("a")+"garbage\n"+event("b"))
		if got.status != 503 || got.header.Get("Retry-After") != "5" || got.body != "the events can't be queued now; try again\n" {
			t.Errorf("answer %+v", got)
		}
	}
	// The malformed piece is told each time; that the queue fails is not.
	if diff := cmp.Diff(w.counted(), counts{"queued": 5, "malformed": 5, "refused": 5}); diff != "" {
		t.Errorf("counted (-got +want):\n%s", diff)
	}
	var refused []string
	for _, line := range w.lines(t, slog.LevelWarn) {
		if strings.HasPrefix(line, "callback refused") {
			refused = append(refused, line)
		}
	}
	if diff := cmp.Diff(refused, []string{"callback refused: it must be sent again err=the disk\ufffd[31m is full unlogged=0"}); diff != "" {
		t.Errorf("warned (-got +want):\n%s", diff)
	}
}

func TestCallbackQueueBlocks(t *testing.T) {
	q := &recorder{release: make(chan struct{})}
	c, w := newCallback(q)
	c.Timeout = 300 * time.Millisecond
	begin := time.Now()
	got := post(t, storetest.Serve(t, c)+"/cb", event("a")+event("b"))
	if got.status != 503 || got.header.Get("Retry-After") != "5" {
		t.Errorf("answer %+v", got)
	}
	if elapsed := time.Since(begin); elapsed < c.Timeout || elapsed > 3*time.Second {
		t.Errorf("answered after %v, want %v", elapsed, c.Timeout)
	}
	if diff := cmp.Diff(w.counted(), counts{"refused": 1}); diff != "" {
		t.Errorf("counted (-got +want):\n%s", diff)
	}
}

// An answer before the queue has everything would be the end of what it has not.
func TestCallbackDurableBeforeAnswer(t *testing.T) {
	q := &recorder{entered: make(chan struct{}), release: make(chan struct{})}
	c, _ := newCallback(q)
	c.Timeout = 20 * time.Second
	url := storetest.Serve(t, c) + "/cb"
	answers := make(chan answer, 1)
	go func() { answers <- post(t, url, event("a")+event("b")) }()
	for range 2 {
		<-q.entered
		select {
		case got := <-answers:
			t.Fatalf("answered %+v while the queue had not", got)
		case <-time.After(100 * time.Millisecond):
		}
		q.release <- struct{}{}
	}
	if got := <-answers; got.status != 200 || got.body != `{"queued":2,"foreign":0}`+"\n" {
		t.Errorf("answer %+v", got)
	}
}

// 64 MiB of bodies and no more: whether a request got its share is seen at 100 Continue, which comes when its body is first read.
func TestCallbackMemory(t *testing.T) {
	c, w := newCallback(&recorder{})
	c.Timeout = 20 * time.Second
	url := storetest.Serve(t, c)
	begin := func(length string) rawConn {
		conn := dial(t, url)
		fmt.Fprintf(conn, "POST /cb HTTP/1.1\r\nHost: h\r\n%s\r\nExpect: 100-continue\r\n\r\n", length)
		return conn
	}
	known := fmt.Sprintf("Content-Length: %d", intake.DefaultMaxBody)
	var conns []rawConn
	for i := range 15 { // each has some overhead, so the 16th does not fit
		length := known
		if i%2 == 1 {
			length = "Transfer-Encoding: chunked"
		}
		conn := begin(length)
		if got := conn.status(t); got != 100 {
			t.Fatalf("request %d: status %d, want 100", i, got)
		}
		conns = append(conns, conn)
	}
	start := time.Now()
	if got := begin(known).status(t); got != 503 {
		t.Errorf("status %d, want 503", got)
	}
	if elapsed := time.Since(start); elapsed < time.Second || elapsed > 10*time.Second {
		t.Errorf("refused after %v, want 2 s", elapsed)
	}
	if got := post(t, url+"/cb", event("a")); got.status != 200 {
		t.Errorf("a small one: %+v", got)
	}
	if diff := cmp.Diff(w.counted(), counts{"refused": 1, "queued": 1}); diff != "" {
		t.Errorf("counted (-got +want):\n%s", diff)
	}
	_ = conns[0].Close()
	if got := begin(known).status(t); got != 100 {
		t.Errorf("when one has gone: status %d, want 100", got)
	}
	// And it comes back for good, however requests end.
	for _, conn := range conns {
		_ = conn.Close()
	}
	large := strings.Repeat("x", intake.DefaultMaxBody) // garbage is quickest
	for range 20 {
		if got := post(t, url+"/cb", large); got.status != 400 {
			t.Fatalf("answer %+v", got)
		}
	}
}

// A chunked body that waits for the queue holds what it has, not what it might have had.
func TestCallbackMemoryOfChunked(t *testing.T) {
	q := &recorder{entered: make(chan struct{}), release: make(chan struct{})}
	c, _ := newCallback(q)
	c.Timeout = 20 * time.Second
	url := storetest.Serve(t, c) + "/cb"
	const n = 40 // of 4 MiB each, were it not so
	answers := make(chan answer, n)
	for range n {
		go func() {
			answers <- send(t, request(t, http.MethodPost, url, struct{ io.Reader }{strings.NewReader(event("a"))}))
		}()
	}
	for i := range n {
		select {
		case <-q.entered:
		case got := <-answers:
			t.Fatalf("request %d: %+v", i, got)
		}
	}
	close(q.release)
	for range n {
		if got := <-answers; got.status != 200 {
			t.Errorf("answer %+v", got)
		}
	}
}

// Events that need most of the memory for decoding find it again when the one before is done.
func TestCallbackMemoryOfDecoding(t *testing.T) {
	c, _ := newCallback(&recorder{})
	url := storetest.Serve(t, c) + "/cb"
	for range 2 {
		if got := post(t, url, `{"EventType":"X","Y":[0`+strings.Repeat(",0", 200_000)+`]}`); got.status != 200 {
			t.Errorf("answer %+v", got)
		}
	}
}

func TestCallbackLogsFailures(t *testing.T) {
	c, w := newCallback(&recorder{})
	url := storetest.Serve(t, c) + "/cb"
	post(t, url, partialEvent)
	post(t, url, items(`{"ErrCode":-1,"TimeOffset":"\u001b[31m\n`+strings.Repeat("0", 100)+`"},{"TimeOffset":"\u0007x"}`))
	if diff := cmp.Diff(w.lines(t, slog.LevelInfo), []string{
		"announced as failed by VOD code=-44098 file_id=5285890780000000002 time_offset=99000 unlogged=0",
		"announced as failed by VOD code=-1 file_id=f time_offset=\ufffd[31m\ufffd" + strings.Repeat("0", 34) + "… unlogged=0",
	}); diff != "" {
		t.Errorf("told (-got +want):\n%s", diff)
	}
	if diff := cmp.Diff(w.lines(t, slog.LevelWarn), []string{
		`malformed input passed over err=item 1: time offset "\ax" is not a number of milliseconds line=1 unlogged=0`,
	}); diff != "" {
		t.Errorf("warned (-got +want):\n%s", diff)
	}
}

func TestCallbackLogIsBounded(t *testing.T) {
	c, w := newCallback(&recorder{})
	url := storetest.Serve(t, c) + "/cb"
	if got := post(t, url, strings.Repeat("x\n", 50_000)); got.status != 400 || !strings.HasPrefix(got.body, "50000 of 50000 events can't be used") {
		t.Errorf("answer %+v", got)
	}
	if got := w.counted()["malformed"]; got != 50_000 {
		t.Errorf("%d counted, want all", got)
	}
	if got := len(w.lines(t, slog.LevelWarn)); got < 100 || got > 300 { // 100 at once and 10 a second
		t.Errorf("%d lines", got)
	}
}

// Count, Log and the limits may be left out.
func TestCallbackDefaults(t *testing.T) {
	q := &recorder{}
	url := storetest.Serve(t, &intake.Callback{Path: "/cb", Queue: q}) + "/cb"
	if got := post(t, url, event("a")); got.status != 200 {
		t.Errorf("answer %+v", got)
	}
	if got := post(t, url, "x"); got.status != 400 {
		t.Errorf("answer %+v", got)
	}
}

// No body makes it panic, say 200 to what it does not use, answer with what is not in the table, or print control characters.
func FuzzCallback(f *testing.F) {
	for _, body := range []string{
		"", sample(f, "callback-v3.json"), sample(f, "pull-v3.json"), partialEvent, foreignEvent, failedEvent, event("a") + event("b"), "[" + event("a") + ",{bad}]",
		items(`{"TimeOffset":"\n"}`), "{\"EventType\":\"\x00", `{"Response":{"Error":{}}}`, strings.Repeat("[", 300), "\xff\xfe", items("null,{},1"),
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q := &recorder{}
		c, w := newCallback(q)
		c.MaxBody = 16 << 10
		got := httptest.NewRecorder()
		c.ServeHTTP(got, httptest.NewRequest(http.MethodPost, "/cb", bytes.NewReader(body)))
		n, text := w.counted(), got.Body.String()
		switch got.Code {
		case 200:
			if text != fmt.Sprintf(`{"queued":%d,"foreign":%d}`+"\n", n["queued"], n["foreign"]) || n["queued"]+n["foreign"] == 0 {
				t.Errorf("200 with %q, counted %v", text, n)
			}
		case 400:
			if n["malformed"] == 0 {
				t.Errorf("400 with %q, counted %v", text, n)
			}
		case 413:
			if len(body) <= 16<<10 {
				t.Errorf("413 for %d bytes", len(body))
			}
		default:
			t.Errorf("status %d", got.Code)
		}
		if len(q.all()) != n["queued"] {
			t.Errorf("%d queued, %d counted", len(q.all()), n["queued"])
		}
		lines := append(w.lines(t, slog.LevelWarn), w.lines(t, slog.LevelInfo)...)
		for _, line := range append(lines, strings.TrimSuffix(text, "\n")) {
			if strings.ContainsFunc(line, unicode.IsControl) || len(line) > 1000 {
				t.Errorf("printed %q", line)
			}
		}
	})
}
