package intake_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

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

type counts = map[intake.EventOutcome]int

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
			answer: `nothing is queued: line 1: item 0: time offset "x" is not a number of milliseconds`,
			counts: counts{"malformed": 1}},
		{name: "empty", body: "", status: 400, counts: counts{"malformed": 1},
			answer: "nothing is queued: line 1: the body holds no event"},
		{name: "empty and chunked", body: "", chunked: true, status: 400, counts: counts{"malformed": 1},
			answer: "nothing is queued: line 1: the body holds no event"},
		{name: "empty set", body: `{"EventSet":[]}`, status: 400, counts: counts{"malformed": 1},
			answer: "nothing is queued: line 1: the body holds no event"},
		{name: "not JSON", body: "hello\r\n", status: 400, counts: counts{"malformed": 1},
			answer: "nothing is queued: line 1: no JSON object or array: unexpected 'h'"},
		{name: "no event", body: `{"a":1}`, status: 400, counts: counts{"malformed": 1},
			answer: "nothing is queued: line 1: no EventType: this is not an event of VOD's"},
		{name: "two events, first bad", body: "{\"a\":\x01}\n" + a, status: 400, queued: []string{"a@1"}, counts: counts{"queued": 1, "malformed": 1},
			answer: `1 of 2 events can't be used, the rest is queued; the first on line 1: unexpected '\x01' on line 1`},
		{name: "two events, last bad", body: a + "{\"EventType\":", status: 400, queued: []string{"a@1"}, counts: counts{"queued": 1, "malformed": 1},
			answer: "1 of 2 events can't be used, the rest is queued; the first on line 2: the input ends inside it"},
		{name: "control characters quoted", body: items(`{"TimeOffset":"\n\u001b[31m","Url":"u"}`), status: 400, counts: counts{"malformed": 1},
			answer: `nothing is queued: line 1: item 0: time offset "\n\x1b[31m" is not a number of milliseconds`},
		{name: "long text clipped", body: items(`{"ErrCode":"` + strings.Repeat("y", 500) + `"}`), status: 400, counts: counts{"malformed": 1},
			answer: `nothing is queued: line 1: item 0: ErrCode "` + strings.Repeat("y", 40) + `" is not a whole number`},
		{name: "nested for ever", body: strings.Repeat("[", 300), status: 400, answer: "…"},
		{name: "more items than memory", body: items(strings.Repeat("{},", 300_000) + "{}"), status: 400, counts: counts{"malformed": 1},
			answer: "nothing is queued: line 1: the event has too many items"},

		{name: "GET", method: "GET", status: 405, answer: "events are posted"},
		{name: "PUT", method: "PUT", body: a, status: 405, answer: "events are posted"},
		{name: "other path", path: "/", body: a, status: 404, answer: "not found"},
		{name: "below the path", path: "/cb/x", body: a, status: 404, answer: "not found"},
		{name: "trailing slash", path: "/cb/", body: a, status: 404, answer: "not found"},
		{name: "gzip", header: header("Content-Encoding", "gzip"), body: gzipped(a), status: 415, answer: "the body must not be compressed",
			counts: counts{"malformed": 1}},
		{name: "gzip, and no header says so", body: gzipped(a), status: 415, answer: "the body must not be compressed",
			counts: counts{"malformed": 1}},
		{name: "nothing good", body: "x\ny\n", status: 400, counts: counts{"malformed": 2},
			answer: "nothing is queued: none of 2 pieces is an event that can be used; the first on line 1: no JSON object or array: unexpected 'x'"},
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
				if !slices.ContainsFunc(intake.EventOutcomes, func(row struct {
					Outcome intake.EventOutcome
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
