package queue

import (
	"context"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue/queuetest"
)

func openExternal(t *testing.T, url string) *Queue {
	t.Helper()
	var q *Queue
	var err error
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(200 * time.Millisecond) {
		if q, err = Open(t.Context(), External{URL: url}, Options{}); err == nil {
			t.Cleanup(q.Close)
			return q
		}
	}
	t.Fatal(err)
	return nil
}

// A leader that has lost its followers proposes what it is given, and takes the same again for a duplicate. That is no reason to
// acknowledge it: the proposal is lost with the leader.
func TestWhatIsOnlyProposedIsNotQueued(t *testing.T) {
	c := queuetest.StartCluster(t, 3)
	openExternal(t, c.URL())
	leader := c.Leader(t, DefaultName+"_EVENTS")
	q := openExternal(t, leader.URL)
	for _, s := range c {
		if s != leader {
			s.Kill()
		}
	}
	add := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		return q.Add(ctx, someSnapshots("1", 3))
	}
	for range 2 {
		if add() == nil {
			t.Fatal("added without a majority")
		}
	}
	for _, s := range c {
		if s != leader {
			s.Start(t)
		}
	}
	for begin := time.Now(); ; {
		err := add()
		if err == nil {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("not added with all servers there: %v", err)
		}
	}
	eventually(t, q, "one event", func(s State) bool { return s.Events == 1 })
}

// The servers refuse us for a while, as they do when a password is being changed: the connection is not given up.
func TestAuthenticationFailsForAWhile(t *testing.T) {
	s := queuetest.StartNATS(t, `authorization { token: right }`)
	q := openExternal(t, "nats://right@"+s.URL[len("nats://"):])
	s.Kill()
	s.Reconfigure(t, "right", "wrong")
	s.Start(t)
	time.Sleep(5 * time.Second) // in which the client tries several times
	if err := q.Ready(t.Context()); err == nil {
		t.Error("ready with the wrong token")
	}
	s.Kill()
	s.Reconfigure(t, "wrong", "right")
	s.Start(t)
	waitReady(t, q)
	if err := q.Add(t.Context(), someSnapshots("1", 1)); err != nil {
		t.Error(err)
	}
}

// An operator deletes a consumer: work goes on all the same.
func TestDeletedConsumersAreMadeAnew(t *testing.T) {
	s := queuetest.StartNATS(t)
	q := openExternal(t, s.URL)
	w := &worker{}
	run(t, q, w.work)
	for i, name := range []string{"workers", "splitters"} {
		stream := []string{DefaultName, DefaultName + "_EVENTS"}[i]
		if err := q.js.DeleteConsumer(t.Context(), stream, name); err != nil {
			t.Fatal(err)
		}
	}
	if err := q.Add(t.Context(), someSnapshots("1", 10)); err != nil {
		t.Fatal(err)
	}
	for begin := time.Now(); w.total() < 10; time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatalf("%d of 10 snapshots were worked on", w.total())
		}
	}
}

// Streams whose operator has set limits are taken as they are, unless they would lose what is queued.
func TestStreamsThatAreThere(t *testing.T) {
	s := queuetest.StartNATS(t)
	q := openExternal(t, s.URL)
	for _, name := range []string{DefaultName, DefaultName + "_DEAD"} {
		stream, err := q.js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgs = 1000
		if _, err := q.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if again, err := Open(t.Context(), External{URL: s.URL}, Options{}); err != nil {
			t.Errorf("%s with a limit: %v", name, err)
		} else {
			again.Close()
		}
		config.MaxAge = time.Hour
		if _, err := q.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if again, err := Open(t.Context(), External{URL: s.URL}, Options{}); err == nil {
			again.Close()
			t.Errorf("%s whose messages expire is taken", name)
		}
		config.MaxAge = 0
		if _, err := q.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
	}
}

// A list of dead letters that is full takes no more, and the snapshot stays in the queue: none is pushed out.
func TestDeadLettersAreNotPushedOut(t *testing.T) {
	s := queuetest.StartNATS(t)
	q, err := Open(t.Context(), External{URL: s.URL}, Options{RetryMin: 100 * time.Millisecond, RetryMax: 200 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(q.Close)
	config := q.dead.CachedInfo().Config
	config.MaxMsgs = 2
	if _, err := q.js.UpdateStream(t.Context(), config); err != nil {
		t.Fatal(err)
	}
	w := &worker{fail: func(mirror.Snapshot, int) mirror.Reason { return mirror.BadSnapshot }}
	run(t, q, w.work)
	if err := q.Add(t.Context(), someSnapshots("1", 4)); err != nil {
		t.Fatal(err)
	}
	eventually(t, q, "2 dead", func(s State) bool { return s.Dead == 2 })
	first := dead(t, q, mirror.LetterFilter{})
	if n, err := q.Discard(t.Context(), mirror.LetterFilter{}); n != 2 || err != nil {
		t.Fatal(n, err)
	}
	eventually(t, q, "the other 2 dead", func(s State) bool { return s.Dead == 2 && empty(s) })
	seen := map[mirror.Snapshot]bool{}
	for _, l := range append(first, dead(t, q, mirror.LetterFilter{})...) {
		seen[l.Snapshot] = true
	}
	if len(seen) != 4 {
		t.Errorf("%d dead letters in all, want 4", len(seen))
	}
}

func waitReady(t *testing.T, q *Queue) {
	t.Helper()
	var err error
	for begin := time.Now(); time.Since(begin) < 30*time.Second; time.Sleep(50 * time.Millisecond) {
		if err = q.Ready(t.Context()); err == nil {
			return
		}
	}
	t.Fatal(err)
}
