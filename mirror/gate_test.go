package mirror

import (
	"context"
	"errors"
	"log/slog"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := NewGate(slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		down := errors.New("down")
		pass := func() time.Duration {
			begin := time.Now()
			if err := g.Wait(ctx); err != nil {
				t.Fatal(err)
			}
			return time.Since(begin)
		}
		g.Failed(down)
		g.Failed(down)
		if got := pass(); got != 0 || !g.Open() {
			t.Errorf("closed after two failures: %v", got)
		}
		g.Worked() // a success between
		g.Failed(down)
		g.Failed(down)
		if got := pass(); got != 0 {
			t.Errorf("closed after two failures in a row: %v", got)
		}
		g.Failed(down)
		g.Failed(down) // begun before it was closed
		if g.Open() {
			t.Fatal("open after three failures in a row")
		}
		want := gateMin
		for range 8 { // each try fails
			if got := pass(); got < want/2 || got > want {
				t.Errorf("waited %v, want %v to %v", got, want/2, want)
			}
			g.Failed(down)
			want = min(2*want, gateMax)
		}
		// A try that fails for another reason says nothing: the next one is made at once.
		pass()
		g.OtherFailure()
		if got := pass(); got != 0 {
			t.Errorf("waited %v after a failure that was not the store's", got)
		}
		g.Failed(down)
		if got := g.Outage(); got < time.Minute || got > 5*time.Minute {
			t.Errorf("an outage of %v, want the sum of the waits", got)
		}
		// Of many that wait, one tries; when it works, all may go on.
		var through atomic.Int32
		for range 10 {
			go func() {
				if g.Wait(ctx) == nil {
					through.Add(1)
				}
			}()
		}
		time.Sleep(gateMax)
		synctest.Wait()
		if got := through.Load(); got != 1 && got != 2 { // the next one's turn comes after the same wait
			t.Errorf("%d went through a closed gate, want one", got)
		}
		g.Worked()
		synctest.Wait()
		if got := through.Load(); got != 10 || !g.Open() {
			t.Errorf("%d went through the open gate, want 10", got)
		}
		if got := g.Outage(); got != 0 {
			t.Errorf("an outage of %v, but it works", got)
		}
		cancel()
		if err := g.Wait(ctx); err == nil {
			t.Error("no error after the context's end")
		}
	})
}
