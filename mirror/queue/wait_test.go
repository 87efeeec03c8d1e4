package queue

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestBackoff(t *testing.T) {
	const shortest, longest = 10 * time.Second, time.Hour
	want := shortest
	for n := 1; n < 200; n++ {
		got := backoff(n, shortest, longest)
		if got < want*3/4 || got > want*5/4 {
			t.Errorf("after %d failures: %v, want %v give or take a quarter", n, got, want)
		}
		want = min(2*want, longest)
	}
	seen := map[time.Duration]bool{}
	for range 10 {
		seen[backoff(3, shortest, longest)] = true
	}
	if len(seen) < 2 {
		t.Error("no jitter")
	}
}

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := gate{log: slog.New(slog.DiscardHandler)}
		ctx, cancel := context.WithCancel(t.Context())
		down := errors.New("down")
		pass := func() time.Duration {
			begin := time.Now()
			if err := g.wait(ctx); err != nil {
				t.Fatal(err)
			}
			return time.Since(begin)
		}
		g.failed(down)
		g.failed(down)
		if got := pass(); got != 0 || !g.open() {
			t.Errorf("closed after two failures: %v", got)
		}
		g.worked() // a success between
		g.failed(down)
		g.failed(down)
		if got := pass(); got != 0 {
			t.Errorf("closed after two failures in a row: %v", got)
		}
		g.failed(down)
		g.failed(down) // begun before it was closed
		if g.open() {
			t.Fatal("open after three failures in a row")
		}
		want := gateMin
		for range 8 { // each try fails
			if got := pass(); got < want/2 || got > want {
				t.Errorf("waited %v, want %v to %v", got, want/2, want)
			}
			g.failed(down)
			want = min(2*want, gateMax)
		}
		// A try that fails for another reason says nothing: the next one is made at once.
		pass()
		g.otherFailure()
		if got := pass(); got != 0 {
			t.Errorf("waited %v after a failure that was not the store's", got)
		}
		g.failed(down)
		// Of many that wait, one tries; when it works, all may go on.
		var through atomic.Int32
		for range 10 {
			go func() {
				if g.wait(ctx) == nil {
					through.Add(1)
				}
			}()
		}
		time.Sleep(gateMax)
		synctest.Wait()
		if got := through.Load(); got != 1 && got != 2 { // the next one's turn comes after the same wait
			t.Errorf("%d went through a closed gate, want one", got)
		}
		g.worked()
		synctest.Wait()
		if got := through.Load(); got != 10 || !g.open() {
			t.Errorf("%d went through the open gate, want 10", got)
		}
		cancel()
		if err := g.wait(ctx); err == nil {
			t.Error("no error after the context's end")
		}
	})
}
