package queue

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

func dead(t *testing.T, q *Queue, f mirror.LetterFilter) (letters []mirror.Letter) {
	t.Helper()
	if err := q.Dead(t.Context(), f, func(l mirror.Letter) error { letters = append(letters, l); return nil }); err != nil {
		t.Fatal(err)
	}
	return letters
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

// A letter can be named, among however many, and by nothing but its name.
func TestOneDeadLetter(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{})
	for _, s := range someSnapshots("1", 3) {
		if err := q.putLetter(t.Context(), kindDead, letter{Letter: mirror.Letter{Snapshot: s, Reason: mirror.TooLarge}}); err != nil {
			t.Fatal(err)
		}
	}
	all := dead(t, q, mirror.LetterFilter{})
	if len(all) != 3 || all[0].ID == all[1].ID || all[1].ID == all[2].ID {
		t.Fatalf("%+v, want three with ids", all)
	}
	named := mirror.LetterFilter{ID: all[1].ID}
	if got := dead(t, q, named); len(got) != 1 || got[0] != all[1] {
		t.Errorf("%+v, want %+v", got, all[1])
	}
	for _, f := range []mirror.LetterFilter{
		{ID: "*"}, {ID: ">"}, {ID: all[1].ID + ".x"}, {ID: all[1].ID[1:]}, {ID: "AAAAAAAAAAAAAAAAAAAAAA"}, {ID: all[1].ID, Reason: mirror.NotAnImage},
	} {
		if n, err := q.Discard(t.Context(), f); n != 0 || err != nil {
			t.Errorf("%+v: %d discarded, %v, want none", f, n, err)
		}
	}
	if n, err := q.Retry(t.Context(), named); n != 1 || err != nil {
		t.Errorf("%d retried, %v, want 1", n, err)
	}
	if n, err := q.Retry(t.Context(), named); n != 0 || err != nil {
		t.Errorf("%d retried the second time, %v, want 0", n, err)
	}
	if got := dead(t, q, mirror.LetterFilter{}); len(got) != 2 || got[0].ID != all[0].ID || got[1].ID != all[2].ID {
		t.Errorf("%+v is left, want the others", got)
	}
}
