package mirror

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Places bound how many snapshots are worked on at once. A snapshot that only waits, for its host or for a byte of its picture,
// lends its place to another, so that a host that does not answer holds up nobody else. Whoever works has more goroutines than
// places, by Spare, and takes a place before it asks for a snapshot.
type Places struct {
	// asking is held while a snapshot is asked for and worked on, working only while it is worked on: else what comes back from
	// waiting for its host would wait for those who wait for more to do.
	asking, working *semaphore.Weighted
}

// Spare is how many snapshots may wait beside those that are worked on. It bounds memory: some KB for each.
const Spare = 1024

// NewPlaces makes n of them.
func NewPlaces(n int) *Places {
	return &Places{semaphore.NewWeighted(int64(n)), semaphore.NewWeighted(int64(n))}
}

// Take waits for a place, or for the end of stop, whose error it returns. What waits for its host with this place ends with stop too.
func (p *Places) Take(stop context.Context) (*Place, error) {
	if err := p.asking.Acquire(stop, 1); err != nil {
		return nil, err
	}
	return &Place{of: p, stop: stop, asking: true}, nil
}

// Place is the right to ask for one snapshot and to work on it. A nil one is of somebody who needs none.
type Place struct {
	of   *Places
	stop context.Context

	mu              sync.Mutex
	asking, working bool // which semaphores it holds
}

// Leave gives the place to the next one. It may be called twice.
func (p *Place) Leave() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.working {
		p.of.working.Release(1)
	}
	if p.asking {
		p.of.asking.Release(1)
	}
	p.asking, p.working = false, false
}

// errStopped says that a snapshot was not begun, since no more are to be.
var errStopped = errors.New("stopped before the snapshot was begun")

// begin goes over to working, unless it is working. The error is errStopped.
func (p *Place) begin() error {
	if p == nil || p.works() {
		return nil
	}
	if p.of.working.Acquire(p.stop, 1) != nil {
		return errStopped
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.working, p.asking = true, p.asking || p.of.asking.TryAcquire(1)
	return nil
}

func (p *Place) works() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.working
}

// aside waits until something comes from ready or the work ends, and lends the place meanwhile. It says whether something came, with
// an error too.
func (p *Place) aside(ctx context.Context, ready <-chan struct{}) (came bool, _ error) {
	select {
	case <-ready: // most often nobody waits
		return true, nil
	default:
	}
	var stop <-chan struct{}
	if p != nil {
		p.Leave()
		stop = p.stop.Done()
	}
	select {
	case <-ready:
		return true, p.begin()
	case <-ctx.Done():
		return false, ctx.Err()
	case <-stop:
		return false, errStopped
	}
}

type placeKey struct{}

// With tells [Worker.Mirror] whose place it may lend.
func (p *Place) With(ctx context.Context) context.Context {
	return context.WithValue(ctx, placeKey{}, p)
}

// placeOf is nil for who has none.
func placeOf(ctx context.Context) *Place {
	p, _ := ctx.Value(placeKey{}).(*Place)
	return p
}
