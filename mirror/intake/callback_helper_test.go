package intake_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
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
	counts map[intake.EventOutcome]int
}

func (w *watch) Write(b []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.Write(b)
}

func (w *watch) count(outcome intake.EventOutcome, n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.counts == nil {
		w.counts = map[intake.EventOutcome]int{}
	}
	w.counts[outcome] += n
}

func (w *watch) counted() map[intake.EventOutcome]int {
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
