package queue

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

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
