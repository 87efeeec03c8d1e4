package queue

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// A host that never answers keeps some workers and no more, though its snapshots come first.
func TestStalledHost(t *testing.T) {
	const n, concurrency = 300, 16
	healthy := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "\xff\xd8\xff\xe0 a small picture \xff\xd9")
	}))
	var stalling atomic.Int64
	stalled := storetest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { stalling.Add(1); <-r.Context().Done() }))
	dir, err := store.OpenDir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	worker, err := mirror.New(dir, mirror.Options{Concurrency: concurrency, AllowPrivateSources: true, IdleTimeout: time.Minute, Retried: true})
	if err != nil {
		t.Fatal(err)
	}
	q, _ := openTest(t, t.TempDir(), Options{})
	for _, url := range []string{stalled, healthy} {
		all := someSnapshots(strings.TrimPrefix(url, "http://127.0.0.1:"), n)
		for i := range all {
			all[i].URL = fmt.Sprintf("%s/%d.jpg", url, i)
		}
		if err := q.Add(t.Context(), all); err != nil {
			t.Fatal(err)
		}
	}
	var mirrored atomic.Int64
	done := make(chan struct{})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		q.Run(ctx, ctx, concurrency, func(ctx context.Context, s mirror.Snapshot) (mirror.Result, error) {
			r, err := worker.Mirror(ctx, s)
			if r.Outcome == mirror.Mirrored && mirrored.Add(1) == n {
				close(done)
			}
			return r, err
		})
	}()
	select {
	case <-done:
	case <-time.After(30 * time.Second):
		t.Errorf("%d of the healthy host's %d snapshots are mirrored", mirrored.Load(), n)
	}
	if got := stalling.Load(); got != concurrency/8 {
		t.Errorf("the stalled host was asked %d times, want %d", got, concurrency/8)
	}
	cancel()
	<-ended
	eventually(t, q, "left with the stalled host's", func(s State) bool { return s.Ready+s.Delayed == n && s.Dead == 0 })
}

// A snapshot that is held back, as its host fails for others, waits longer each time, and is given up in the end without having been tried.
func TestHeldBack(t *testing.T) {
	q, _ := openTest(t, t.TempDir(), Options{RetryMin: 20 * time.Millisecond, RetryMax: time.Second, GiveUpAfter: time.Second})
	if err := q.Add(t.Context(), someSnapshots("1", 1)); err != nil {
		t.Fatal(err)
	}
	var calls atomic.Int64
	run(t, q, func(_ context.Context, s mirror.Snapshot) (mirror.Result, error) {
		r := mirror.Result{Snapshot: s, Outcome: mirror.Failed, Reason: mirror.SourceBusy, Err: errors.New("told to fail"), Held: true}
		if calls.Add(1) == 2 {
			r.Held, r.Attempts = false, 1
		}
		return r, nil
	})
	eventually(t, q, "given up", func(s State) bool { return s.Dead == 1 })
	letters := dead(t, q, mirror.LetterFilter{})
	if len(letters) != 1 || letters[0].Attempts != 1 || letters[0].Reason != mirror.SourceBusy {
		t.Errorf("%+v, want one that was tried once", letters)
	}
	if n := calls.Load(); n < 4 || n > 12 {
		t.Errorf("it was looked at %d times, want the waits to double", n)
	}
}
