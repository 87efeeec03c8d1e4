package queue

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
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

func dead(t *testing.T, q *Queue, f mirror.LetterFilter) (letters []mirror.Letter) {
	t.Helper()
	if err := q.Dead(t.Context(), f, func(l mirror.Letter) error { letters = append(letters, l); return nil }); err != nil {
		t.Fatal(err)
	}
	return letters
}

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

// A picture that is missing at first is mirrored in the end; one that never comes ends as a dead letter, and can be retried.
func TestRetriesAndDeadLetters(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{RetryMin: 50 * time.Millisecond, RetryMax: 100 * time.Millisecond, GiveUpAfter: 500 * time.Millisecond})
	late, never, bad, good := someSnapshots("late", 1)[0], someSnapshots("never", 1)[0], someSnapshots("bad", 1)[0], someSnapshots("good", 1)[0]
	mended := false
	w := &worker{}
	w.fail = func(s mirror.Snapshot, try int) mirror.Reason {
		switch {
		case s == late && try < 3, s == never && !mended:
			return mirror.SourceMissing
		case s == bad:
			return mirror.BadSnapshot
		}
		return ""
	}
	begin := time.Now()
	if err := q.Add(t.Context(), []mirror.Snapshot{late, never, bad, good}); err != nil {
		t.Fatal(err)
	}
	run(t, q, w.work)
	eventually(t, q, "left with two dead letters", func(s State) bool { return empty(s) && s.Dead == 2 })
	if w.tries[late] != 3 || w.tries[bad] != 1 || w.tries[good] != 1 {
		t.Errorf("tries: late %d, bad %d, good %d, want 3, 1, 1", w.tries[late], w.tries[bad], w.tries[good])
	}
	letters := dead(t, q, mirror.LetterFilter{Reason: mirror.SourceMissing})
	if len(letters) != 1 {
		t.Fatalf("letters %+v, want one", letters)
	}
	l := letters[0]
	if l.Snapshot != never || l.Error != "told to fail" || l.Attempts != w.tries[never] || l.Attempts < 3 || l.First.Before(begin) || l.Last.Sub(l.First) < 500*time.Millisecond {
		t.Errorf("letter %+v after %d tries", l, w.tries[never])
	}
	if got := dead(t, q, mirror.LetterFilter{FileID: "bad"}); len(got) != 1 || got[0].Attempts != 1 || got[0].Reason != mirror.BadSnapshot {
		t.Errorf("letters %+v, want that of the bad one", got)
	}
	for _, none := range []mirror.LetterFilter{{FileID: "x"}, {OlderThan: time.Hour}, {NewerThan: time.Nanosecond}, {Reason: mirror.TooLarge}} {
		if got := dead(t, q, none); len(got) != 0 {
			t.Errorf("%+v chooses %+v, want none", none, got)
		}
	}
	noted := func() uint64 {
		info, err := q.waiting.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return info.State.Msgs
	}
	for begin := time.Now(); noted() != 0; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 10*time.Second {
			t.Fatalf("%d failures are still noted, want none", noted())
		}
	}

	w.mu.Lock()
	mended = true
	w.mu.Unlock()
	if n, err := q.Retry(t.Context(), mirror.LetterFilter{FileID: "never"}); n != 1 || err != nil {
		t.Errorf("retried %d, %v, want 1", n, err)
	}
	eventually(t, q, "left with one dead letter", func(s State) bool { return empty(s) && s.Dead == 1 })
	if n, err := q.Discard(t.Context(), mirror.LetterFilter{}); n != 1 || err != nil {
		t.Errorf("discarded %d, %v, want 1", n, err)
	}
	if got := dead(t, q, mirror.LetterFilter{}); len(got) != 0 {
		t.Errorf("letters %+v, want none", got)
	}
}

// A dead letter that is retried before its snapshot has left the queue must not go with it.
func TestRetryWhileBeingGivenUp(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	all := someSnapshots("1", 1)
	if err := q.addSplit(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	m, err := q.workers.Next()
	if err != nil {
		t.Fatal(err)
	}
	l, err := q.note(t.Context(), m, mirror.Result{Snapshot: all[0], Outcome: mirror.Failed, Reason: mirror.BadSnapshot, Err: errors.New("bad")})
	if err != nil {
		t.Fatal(err)
	}
	if err := q.putLetter(t.Context(), kindDead, l); err != nil {
		t.Fatal(err)
	}
	retried := make(chan error)
	go func() {
		n, err := q.Retry(t.Context(), mirror.LetterFilter{})
		if err == nil && n != 1 {
			err = fmt.Errorf("%d retried, want 1", n)
		}
		retried <- err
	}()
	time.Sleep(200 * time.Millisecond)
	if got := dead(t, q, mirror.LetterFilter{}); len(got) != 1 {
		t.Errorf("%d letters before the snapshot has left the queue, want 1", len(got))
	}
	q.done(t.Context(), m) // the burial's other half
	if err := <-retried; err != nil {
		t.Error(err)
	}
	eventually(t, q, "queued again", func(s State) bool { return s.Ready == 1 && s.Dead == 0 })
}

// A dead letter whose snapshot was announced again meanwhile: one of the two is enough.
func TestRetryOfWhatIsQueuedAgain(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	all := someSnapshots("1", 1)
	if err := q.putLetter(t.Context(), kindDead, letter{mirror.Letter{Snapshot: all[0]}, 77}); err != nil {
		t.Fatal(err)
	}
	if err := q.addSplit(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	if n, err := q.Retry(t.Context(), mirror.LetterFilter{}); n != 1 || err != nil {
		t.Error(n, err)
	}
	eventually(t, q, "queued once", func(s State) bool { return s.Ready == 1 && s.Dead == 0 })
}

// Two who discard the same at once do not trip over each other.
func TestDiscardTwice(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	for _, s := range someSnapshots("1", 2) {
		if err := q.putLetter(t.Context(), kindDead, letter{Letter: mirror.Letter{Snapshot: s}}); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 {
		if err := q.removeDead(t.Context(), 1); err != nil {
			t.Error(err)
		}
	}
}

// A queue that has filled its own disk is worked off: what that needs is kept free.
func TestFullDiskIsWorkedOff(t *testing.T) {
	q, _ := openTest(t, filepath.Join(storetest.SmallDisk(t, 48), "data"), Options{})
	padding := strings.Repeat("x", 2000)
	added := 0
	for {
		event := someSnapshots(fmt.Sprint("f", added), 20)
		for i := range event {
			event[i].URL += "?" + padding
		}
		if err := q.Add(t.Context(), event); err != nil {
			t.Logf("%d events, then: %v", added, err)
			break
		}
		added++
	}
	if err := q.Ready(t.Context()); err == nil || added == 0 {
		t.Errorf("ready, or nothing was added: %d", added)
	}
	w := &worker{}
	run(t, q, w.work)
	eventually(t, q, "empty", func(s State) bool { return empty(s) && w.total() >= 20*added })
	if err := q.Ready(t.Context()); err != nil {
		t.Error(err)
	}
}

// However long the store is down, no snapshot dies of it.
func TestStoreOutageKillsNothing(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{RetryMin: 20 * time.Millisecond, RetryMax: 40 * time.Millisecond, GiveUpAfter: time.Millisecond})
	until := time.Now().Add(3 * time.Second)
	w := &worker{}
	w.fail = func(s mirror.Snapshot, _ int) mirror.Reason {
		if time.Now().Before(until) {
			return mirror.StoreUnavailable
		}
		return ""
	}
	if err := q.Add(t.Context(), someSnapshots("1", 100)); err != nil {
		t.Fatal(err)
	}
	run(t, q, w.work)
	time.Sleep(2 * time.Second) // in the outage
	if q.StoreWorks() {
		t.Error("the store is said to work")
	}
	if got := w.total(); got > 40 {
		t.Errorf("%d tries against a store that is down, want few", got)
	}
	if err := q.Ready(t.Context()); err != nil {
		t.Errorf("not ready: %v; a store that is down is no reason", err)
	}
	eventually(t, q, "empty", empty)
	if s, err := q.State(t.Context()); err != nil || s.Dead != 0 || !q.StoreWorks() {
		t.Errorf("state %+v, %v, store works %v", s, err, q.StoreWorks())
	}
	for _, s := range someSnapshots("1", 100) {
		if w.tries[s] == 0 {
			t.Errorf("%v was never tried", s)
		}
	}
}

// One object that the store refuses is no outage: it waits longer and longer, is no dead letter, and nothing else waits for it.
func TestStoreRefusesOneObject(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{RetryMin: 20 * time.Millisecond, RetryMax: time.Minute, GiveUpAfter: time.Millisecond})
	all := someSnapshots("1", 20)
	w := &worker{fail: func(s mirror.Snapshot, _ int) mirror.Reason {
		if s == all[0] {
			return mirror.StoreDenied
		}
		return ""
	}}
	run(t, q, w.work)
	if err := q.Add(t.Context(), all); err != nil {
		t.Fatal(err)
	}
	eventually(t, q, "one left", func(s State) bool { return s.Events == 0 && s.Ready == 0 && s.Delayed == 1 && w.total() >= 20 })
	time.Sleep(1500 * time.Millisecond)
	if got := w.total() - 19; got > 12 {
		t.Errorf("the refused one was tried %d times, want ever less often", got)
	}
	if s, err := q.State(t.Context()); err != nil || s.Dead != 0 || s.Delayed+s.InFlight != 1 {
		t.Errorf("state %+v, %v", s, err)
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
