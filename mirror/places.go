package mirror

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"
)

// Spare is how many snapshots may wait beside those that are worked on. It bounds memory: some KB for each.
const Spare = 1024

// RunPlaces calls work again and again, by n goroutines at once, until each has been told that there is no more, and waits for them.
// Work takes a snapshot, if there is one, and mirrors it with the place that it was given: see [Place.With]. A snapshot that only
// waits, for its host or for a byte of its picture, lends its place to one more goroutine, up to Spare of them, so that a host that
// does not answer holds up nobody else. When stop is done, what waits for its host ends with it.
func RunPlaces(stop context.Context, n int, work func(*Place) (more bool)) {
	newPlaces(stop, n, work).run()
}

// places has a goroutine for each place and for each snapshot that has lent its own, and no others: a goroutine that idles in a
// queue of a thousand would have each snapshot mirrored on a stack that has been cold for as long.
type places struct {
	n     int
	stop  context.Context
	work  func(*Place) bool
	group errgroup.Group

	// working bounds those that are worked on, apart from those that are asked for: else what comes back from waiting for its
	// host would wait for those who wait for more to do.
	working *semaphore.Weighted

	mu     sync.Mutex
	active int // goroutines that ask for a snapshot, work on one or are about to; above n when more come back than are needed
	total  int // all, with those that wait aside
}

func newPlaces(stop context.Context, n int, work func(*Place) bool) *places {
	return &places{n: n, stop: stop, work: work, working: semaphore.NewWeighted(int64(n))}
}

func (p *places) run() {
	p.mu.Lock()
	for range p.n {
		p.start()
	}
	p.mu.Unlock()
	_ = p.group.Wait()
}

// start adds a goroutine. The caller holds the mutex.
func (p *places) start() {
	p.active++
	p.total++
	p.group.Go(func() error {
		for {
			place := &Place{of: p, active: true} // a new one each time: an old timer may still have the last
			if more := p.work(place); !place.end(more) {
				return nil
			}
		}
	})
}

// Place is the right to ask for one snapshot and to work on it. A nil one is of somebody who needs none.
type Place struct {
	of              *places
	active, working bool // whether it counts as active, and holds one of working; guarded by the mutex of all
}

// Leave lends the place to another. It may be called twice.
func (p *Place) Leave() {
	if p == nil {
		return
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.release(); p.of.active < p.of.n && p.of.total < p.of.n+Spare && p.of.stop.Err() == nil {
		p.of.start()
	}
}

// end gives the place back after its work, and says whether the goroutine is to go on with another one, as there are not enough.
func (p *Place) end(more bool) bool {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.release()
	if more && p.of.active < p.of.n {
		p.of.active++
		return true
	}
	p.of.total--
	return false
}

// release gives back what the place has. The caller holds the mutex.
func (p *Place) release() {
	if p.working {
		p.of.working.Release(1)
	}
	if p.active {
		p.of.active--
	}
	p.working, p.active = false, false
}

// errStopped says that a snapshot was not begun, since no more are to be.
var errStopped = errors.New("stopped before the snapshot was begun")

// begin goes over to working, unless it is working. The error is errStopped.
func (p *Place) begin() error {
	if p == nil || p.ready() {
		return nil
	}
	if p.of.working.Acquire(p.of.stop, 1) != nil {
		return errStopped
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	p.working = true
	return nil
}

// ready says whether the place works, and else makes it active, so that nobody is asked in who would have to wait.
func (p *Place) ready() bool {
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if !p.working && !p.active {
		p.active = true
		p.of.active++
	}
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
		stop = p.of.stop.Done()
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
