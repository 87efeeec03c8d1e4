package mirror

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"
)

// Gate holds workers back while the store takes nothing: then every snapshot would be fetched in vain, and fail. One worker at a
// time tries again, after 1 s doubling to 30 s. It is safe for concurrent use. It begins open.
type Gate struct {
	log *slog.Logger

	mu      sync.Mutex
	streak  int           // failures of the store without a success between
	since   time.Time     // when the streak began
	delay   time.Duration // 0 while the gate is open
	until   time.Time     // when the next try may be made
	probing bool          // a try is under way
	opened  chan struct{} // closed when the gate opens
}

const (
	gateStreak = 3 // one refused object is not an outage
	gateMin    = time.Second
	gateMax    = 30 * time.Second
)

// NewGate makes an open gate, which logs when it closes and opens.
func NewGate(log *slog.Logger) *Gate { return &Gate{log: log} }

// Wait returns when the caller may take a snapshot, or with the context's error.
func (g *Gate) Wait(ctx context.Context) error {
	for {
		g.mu.Lock()
		if g.delay == 0 {
			g.mu.Unlock()
			return ctx.Err()
		}
		pause := time.Until(g.until)
		if pause <= 0 {
			// This caller is the one that tries; when it finds nothing to try with, another may after the same wait.
			g.probing, g.until = true, time.Now().Add(g.delay)
			g.mu.Unlock()
			return ctx.Err()
		}
		opened := g.opened
		g.mu.Unlock()
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-opened:
		case <-ctx.Done():
		}
		timer.Stop()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
}

// Failed notes that the store did not take a picture, and says whether that is no outage so far.
func (g *Gate) Failed(err error) (single bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streak++; g.streak == 1 {
		g.since = time.Now()
	}
	switch {
	case g.delay == 0 && g.streak < gateStreak:
		return true
	case g.delay == 0:
		g.log.Warn("the destination takes no pictures: snapshots wait", "err", err)
		g.delay, g.opened = gateMin, make(chan struct{})
	case g.probing:
		g.delay = min(2*g.delay, gateMax)
	default: // begun before the gate was closed
		return false
	}
	g.probing, g.until = false, time.Now().Add(g.delay/2+rand.N(g.delay/2))
	return false
}

// Shut closes the gate before anything was tried.
func (g *Gate) Shut() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.delay == 0 {
		g.delay, g.opened = gateMin, make(chan struct{})
	}
}

// OtherFailure notes a snapshot that failed for another reason, which says little about the store: the next one may try at once.
func (g *Gate) OtherFailure() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.probing {
		g.probing, g.until = false, time.Now()
	}
}

// Worked notes that the store took, or knew, a picture.
func (g *Gate) Worked() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.streak = 0
	if g.delay > 0 {
		g.delay, g.probing = 0, false
		close(g.opened)
		g.log.Info("the destination takes pictures again")
	}
}

// Open says whether the store was last seen to work.
func (g *Gate) Open() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.delay == 0
}

// Outage is how long ago the store failed first since it last worked, or 0.
func (g *Gate) Outage() time.Duration {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.streak == 0 {
		return 0
	}
	return time.Since(g.since)
}
