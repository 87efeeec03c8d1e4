package intake_test

import (
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

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

// What is refused for good is told: the event will not come again by itself.
func TestCallbackLogsRefusals(t *testing.T) {
	c, w := newCallback(&recorder{})
	c.MaxBody = 1 << 10
	c.Auth = intake.Auth{User: "vod", Password: "hush", SignKeys: []string{"key"}}
	url := storetest.Serve(t, c) + "/cb"
	for range 3 {
		post(t, url, event("a")) // no password
	}
	c.Auth.User, c.Auth.Password = "", ""
	post(t, url, event("a")) // no signature: another check, another line
	c.Auth.SignKeys = nil
	post(t, url, strings.Repeat(" ", 2<<10))
	post(t, url, gzipped(event("a")))
	var told []string
	for _, line := range w.lines(t, slog.LevelWarn) {
		before, _, _ := strings.Cut(line, " remote=")
		told = append(told, before)
	}
	if diff := cmp.Diff(told, []string{
		"callback refused: authentication failed check=basic",
		"callback refused: authentication failed check=sign",
		"callback refused: its body is too large limit=1024",
		"callback refused: its body is compressed",
	}); diff != "" {
		t.Errorf("warned (-got +want):\n%s", diff)
	}
}

func TestCallbackLogIsBounded(t *testing.T) {
	c, w := newCallback(&recorder{})
	url := storetest.Serve(t, c) + "/cb"
	if got := post(t, url, strings.Repeat("x\n", 50_000)); got.status != 400 || !strings.HasPrefix(got.body, "nothing is queued: none of 50000 pieces") {
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
