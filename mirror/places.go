package mirror

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/semaphore"
)

// Places bound how many snapshots are worked on at once. A snapshot that only waits, for its host or for a byte of its picture,
// lends its place to another, so that a host that does not answer holds up nobody else. Whoever works has more goroutines than
// places, by Spare, and takes a place before it takes a snapshot.
type Places struct {
	free *semaphore.Weighted
	// door lets one newcomer at a time wait for a place, so that those who come back from waiting for their host go first.
	door *semaphore.Weighted
}

// Spare is how many snapshots may wait beside those that are worked on. It bounds memory: some KB for each.
const Spare = 1024

// NewPlaces makes n of them.
func NewPlaces(n int) *Places {
	return &Places{free: semaphore.NewWeighted(int64(n)), door: semaphore.NewWeighted(1)}
}

// Take waits for a place, or for the end of stop, whose error it returns. What waits for its host with this place ends with stop too.
func (p *Places) Take(stop context.Context) (*Place, error) {
	if err := p.door.Acquire(stop, 1); err != nil {
		return nil, err
	}
	defer p.door.Release(1)
	if err := p.free.Acquire(stop, 1); err != nil {
		return nil, err
	}
	return &Place{free: p.free, stop: stop, held: true}, nil
}

// Place is the right to work on one snapshot.
type Place struct {
	free *semaphore.Weighted
	stop context.Context

	mu   sync.Mutex
	held bool
}

// Leave gives the place to the next one. It may be called twice.
func (p *Place) Leave() {
	if p == nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.held {
		p.held = false
		p.free.Release(1)
	}
}

// errStopped says that a snapshot was not begun, since no more are to be.
var errStopped = errors.New("stopped before the snapshot was begun")

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
	case <-ctx.Done():
		return false, ctx.Err()
	case <-stop:
		return false, errStopped
	}
	if p != nil {
		if p.free.Acquire(p.stop, 1) != nil {
			return true, errStopped
		}
		p.mu.Lock()
		p.held = true
		p.mu.Unlock()
	}
	return true, nil
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
