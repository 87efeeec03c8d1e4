package queue

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// openTest opens a queue on a directory, in this process.
func openTest(t *testing.T, dir string, o Options) (*Queue, func()) {
	t.Helper()
	server, err := OpenEmbedded(dir, o.log())
	if err != nil {
		t.Fatal(err)
	}
	q, err := Open(t.Context(), server, o)
	if err != nil {
		t.Fatal(err)
	}
	closed := false
	end := func() {
		if !closed {
			closed = true
			q.Close()
			if err := server.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(end)
	return q, end
}

func someSnapshots(file string, n int) []mirror.Snapshot {
	out := make([]mirror.Snapshot, n)
	for i := range out {
		out[i] = mirror.Snapshot{FileID: file, TimeOffset: mirror.TimeOffset(i * 1000), Definition: 10, TaskID: "task", URL: fmt.Sprintf("http://origin/%s/%d.jpg", file, i)}
	}
	return out
}

// worker is a Work that remembers what it was given; fail says what becomes of a snapshot.
type worker struct {
	mu    sync.Mutex
	tries map[mirror.Snapshot]int
	fail  func(s mirror.Snapshot, try int) mirror.Reason // nil mirrors everything
}

func (w *worker) work(_ context.Context, s mirror.Snapshot) (mirror.Result, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.tries == nil {
		w.tries = map[mirror.Snapshot]int{}
	}
	w.tries[s]++
	if w.fail != nil {
		if reason := w.fail(s, w.tries[s]); reason != "" {
			return mirror.Result{Snapshot: s, Outcome: mirror.Failed, Reason: reason, Err: errors.New("told to fail")}, nil
		}
	}
	return mirror.Result{Snapshot: s, Outcome: mirror.Mirrored}, nil
}

func (w *worker) total() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, tries := range w.tries {
		n += tries
	}
	return n
}

// run works the queue off in the background until the test ends or stop is called.
func run(t *testing.T, q *Queue, work Work) (stop func()) {
	t.Helper()
	stopping, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); q.Run(context.Background(), stopping, 8, work) }()
	stop = func() { cancel(); <-done }
	t.Cleanup(stop)
	return stop
}

// eventually waits until the queue's state is as wanted.
func eventually(t *testing.T, q *Queue, what string, is func(State) bool) {
	t.Helper()
	var s State
	for begin := time.Now(); time.Since(begin) < 20*time.Second; time.Sleep(10 * time.Millisecond) {
		var err error
		if s, err = q.State(t.Context()); err == nil && is(s) {
			return
		}
	}
	t.Fatalf("the queue never came to be %s: %+v", what, s)
}

func empty(s State) bool { return s.Events == 0 && s.Ready == 0 && s.Delayed == 0 }

func TestEverythingIsWorkedOffOnce(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	all := someSnapshots("1", 200)
	for range 3 { // the event comes three times, once in another order
		if err := q.Add(t.Context(), all); err != nil {
			t.Fatal(err)
		}
		slices.Reverse(all)
	}
	if s, err := q.State(t.Context()); err != nil || s.Events != 2 || s.Oldest.IsZero() { // 100 in each
		t.Errorf("state %+v, %v, want 2 events", s, err)
	}
	w := &worker{}
	run(t, q, w.work)
	eventually(t, q, "empty", func(s State) bool { return empty(s) && q.InFlight() == 0 })
	for _, s := range all {
		if w.tries[s] != 1 {
			t.Fatalf("%v: tried %d times, want once", s, w.tries[s])
		}
	}
	if got := w.total(); got != len(all) {
		t.Errorf("%d tries, want %d", got, len(all))
	}
}

// What is queued as a snapshot is not queued again by another event, unless its URL is another.
func TestDuplicatesBehindTheSplit(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	all := someSnapshots("1", 3)
	other := all[0]
	other.URL += "?sign=2"
	for _, event := range [][]mirror.Snapshot{all, all[:2], {other}} {
		if err := q.addSplit(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
	eventually(t, q, "4 ready", func(s State) bool { return s.Ready == 4 })
}

func TestQueueOutlivesTheProcess(t *testing.T) {
	dir := t.TempDir()
	q, end := openTest(t, dir, Options{})
	if err := q.Add(t.Context(), someSnapshots("1", 50)); err != nil {
		t.Fatal(err)
	}
	end()
	q, _ = openTest(t, dir, Options{})
	w := &worker{}
	run(t, q, w.work)
	eventually(t, q, "empty", empty)
	if got := w.total(); got != 50 {
		t.Errorf("%d tries, want 50", got)
	}
}

func TestDataDirectoryIsLocked(t *testing.T) {
	dir := t.TempDir()
	openTest(t, dir, Options{})
	if _, err := OpenEmbedded(dir, Options{}.log()); !errors.Is(err, ErrInUse) {
		t.Errorf("opening it twice: %v, want %v", err, ErrInUse)
	}
}

// Work that is interrupted comes again at once, and is no failure.
func TestInterruptedWorkStays(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{GiveUpAfter: time.Millisecond})
	if err := q.Add(t.Context(), someSnapshots("1", 5)); err != nil {
		t.Fatal(err)
	}
	ctx, interrupt := context.WithCancel(t.Context())
	stopping, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	var began sync.WaitGroup
	began.Add(5)
	go func() {
		defer close(done)
		q.Run(ctx, stopping, 5, func(ctx context.Context, _ mirror.Snapshot) (mirror.Result, error) {
			began.Done()
			<-ctx.Done()
			return mirror.Result{}, ctx.Err()
		})
	}()
	began.Wait()
	if got := q.InFlight(); got != 5 {
		t.Errorf("%d in flight, want 5", got)
	}
	cancel()
	interrupt()
	<-done
	w := &worker{}
	begin := time.Now()
	run(t, q, w.work)
	eventually(t, q, "empty", empty)
	if took := time.Since(begin); took > ackWait/2 {
		t.Errorf("they came back after %v, want at once", took)
	}
	if got := w.total(); got != 5 {
		t.Errorf("%d tries, want 5", got)
	}
}

// Another program's messages cost nothing but themselves.
func TestForeignMessages(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	for i, text := range []string{"", "not json", `{"file_id":"1"}`, `[]`, `[{"file_id":"1"},{"file_id":"2"}]`} {
		for _, kind := range []string{kindEvent, kindSnapshot} {
			if _, err := q.js.Publish(t.Context(), q.subject(kind, fmt.Sprint(i)), []byte(text)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := q.Add(t.Context(), someSnapshots("1", 3)); err != nil {
		t.Fatal(err)
	}
	w := &worker{}
	run(t, q, w.work)
	eventually(t, q, "empty", empty)
	if got := w.total(); got != 5 { // ours, and the two of the last event, which is one
		t.Errorf("%d tries, want 5", got)
	}
}

// Streams of somebody else with the same name are not taken over.
func TestForeignStream(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{Name: "A"})
	config := q.snapshots.CachedInfo().Config
	config.Name, config.Subjects, config.DiscardNewPerSubject = "B_EVENTS", []string{"B.event.*"}, false
	if _, err := q.js.CreateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), q.server, Options{Name: "B"}); err == nil {
		t.Error("opened, want an error")
	}
}

func TestMessagesAreBounded(t *testing.T) {
	long := make([]byte, 3<<20)
	for i := range long {
		long[i] = 1 // six bytes in JSON
	}
	huge := mirror.Snapshot{FileID: string(long), TaskID: string(long), URL: string(long)}
	many := append(someSnapshots("1", 1000), huge)
	for i := range 100 {
		s := huge
		s.TimeOffset = mirror.TimeOffset(i + 1)
		many = append(many, s)
	}
	parts, err := bundles(many)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, p := range parts {
		if len(p.data) > maxEventBytes+64<<10 {
			t.Errorf("a message of %d bytes", len(p.data))
		}
		snapshots, err := decodeSnapshots(p.data)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range snapshots {
			if n++; (s.Validate() == nil) != (s.FileID == "1") {
				t.Errorf("%.40v: valid %v", s, s.Validate())
			}
		}
	}
	if n != len(many) {
		t.Errorf("%d snapshots in messages, want %d", n, len(many))
	}
}

func TestIDs(t *testing.T) {
	base := mirror.Snapshot{FileID: "1", TimeOffset: 2, Definition: 3, TaskID: "4", URL: "5"}
	seen := map[string]mirror.Snapshot{}
	with := func(change func(*mirror.Snapshot)) mirror.Snapshot { s := base; change(&s); return s }
	for _, s := range []mirror.Snapshot{
		base,
		with(func(s *mirror.Snapshot) { s.FileID = "12" }),
		with(func(s *mirror.Snapshot) { s.TimeOffset = 22 }),
		with(func(s *mirror.Snapshot) { s.Definition = 33 }),
		with(func(s *mirror.Snapshot) { s.TaskID, s.URL = "45", "" }),
		with(func(s *mirror.Snapshot) { s.URL = "55" }),
	} {
		if other, there := seen[id(s)]; there {
			t.Errorf("%+v and %+v have the same id", s, other)
		}
		seen[id(s)] = s
	}
	if diff := cmp.Diff(id(base), id(mirror.Snapshot{FileID: "1", TimeOffset: 2, Definition: 3, TaskID: "4", URL: "5"})); diff != "" {
		t.Error(diff)
	}
}
