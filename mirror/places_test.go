package mirror

import (
	"sync/atomic"
	"testing"
	"time"
)

// Those that were started for lent places end when the lenders are back: a crowd that stayed would take turns, on cold stacks.
func TestPlacesDrain(t *testing.T) {
	const n, lenders = 4, 100
	ready := make(chan struct{})
	var pieces, back atomic.Int64
	var drained atomic.Bool
	p := newPlaces(t.Context(), n, func(place *Place) bool {
		i := pieces.Add(1)
		if i > lenders {
			time.Sleep(time.Millisecond)
			return !drained.Load()
		}
		if err := place.begin(); err != nil {
			t.Error(err)
		}
		if i == lenders { // all others wait, and lend
			close(ready)
		}
		if _, err := place.aside(t.Context(), ready); err != nil {
			t.Error(err)
		}
		back.Add(1)
		return true
	})
	go func() {
		defer drained.Store(true)
		total := 0
		for begin := time.Now(); time.Since(begin) < 5*time.Second; time.Sleep(time.Millisecond) {
			p.mu.Lock()
			total = p.total
			p.mu.Unlock()
			if back.Load() == lenders && total == n {
				return
			}
		}
		t.Errorf("%d goroutines are at work for %d places, %d of %d are back", total, n, back.Load(), lenders)
	}()
	p.run()
}
