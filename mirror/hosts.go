package mirror

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/semaphore"
	"golang.org/x/time/rate"
)

// hosts keeps a host that is slow or broken from taking all workers, and leaves it alone while it is broken.
//
// Each host begins with a share of the fetches that may be under way. An answer, whatever it says, gives it one more, up to all
// of them; an attempt without one (no connection, a body that breaks off, 429, 5xx) takes one away, down to the share. So a host
// that works has everything within a few round trips, and one that doesn't never has more than it would waste.
//
// After trouble without an answer between, the host is in back-off: one fetch tries it after 1 s doubling to 1 min, or
// when Retry-After says. Meanwhile the others wait, if nobody else would try them again, or else are turned away. They do not
// wait for ever: see patience. What waits for its turn by the rate waits as long as that takes.
type hosts struct {
	rate    rate.Limit // fetches a second of one host; 0 for no limit
	most    int        // fetches of one host at once
	share   int        // that a host has unproven
	bytes   int64      // of the memory for pictures, for one host
	patient bool       // wait for hosts in back-off
	log     *slog.Logger

	mu    sync.Mutex
	known map[string]*host
}

const (
	// maxHosts is how many are remembered that nothing is under way for.
	maxHosts = 1024
	// troubleStreak is more than one snapshot's usual attempts: one picture that fails says nothing of its host.
	troubleStreak = 8
	hostPauseMin  = time.Second
	hostPauseMax  = time.Minute
	// hostAskedMax bounds what a Retry-After does to the whole host: the one answer may be broken.
	hostAskedMax = 10 * time.Minute
)

// patience is how long a host in trouble is waited for, from its first failure on. Where our own rate keeps the tries apart, it is
// longer by what a streak of them takes.
func (h *host) patience() time.Duration {
	patience := 5 * time.Minute
	if !h.answered && h.last.Reason == SourceUnreachable {
		patience = 15 * time.Second // it may not exist at all
	}
	if h.turns != nil {
		patience += time.Duration(troubleStreak / float64(h.of.rate) * float64(time.Second))
	}
	return patience
}

func newHosts(o Options) *hosts {
	return &hosts{
		rate: rate.Limit(o.Rate),
		most: o.HostConcurrency, share: max(1, o.HostConcurrency/8), bytes: max(o.MaxImageSize, o.BytesInFlight/2), patient: !o.Retried,
		log: o.Log, known: map[string]*host{},
	}
}

// host is what is known of one. Its fields but bytes and turns are guarded by the mutex of all.
type host struct {
	of    *hosts
	name  string
	bytes *semaphore.Weighted // its part of the memory for pictures
	turns *rate.Limiter       // nil for no limit

	limit   int // fetches that may be under way
	under   int // that are
	waiting []*entrance

	answered bool // ever
	streak   int  // attempts in trouble without an answer between
	since    time.Time
	last     *Failure
	pause    time.Duration // 0 unless in back-off
	until    time.Time     // when the next may try
	timer    *time.Timer
	nextTurn *time.Timer // while somebody waits for it
}

// entrance is a fetch that waits. ready is closed when it may begin or, with refused set, never may.
type entrance struct {
	ready   chan struct{}
	refused *Failure
}

// enter waits until a fetch from the host may begin; leave must follow. The error is a Failure, with Held set, the context's, or
// errStopped.
func (a *hosts) enter(ctx context.Context, name string) (*host, error) {
	a.mu.Lock()
	h := a.known[name]
	if h == nil {
		h = &host{of: a, name: name, limit: a.share, bytes: semaphore.NewWeighted(a.bytes), turns: newTurns(a.rate)}
		a.known[name] = h
	}
	e := &entrance{ready: make(chan struct{})}
	h.waiting = append(h.waiting, e)
	h.serve(time.Now())
	a.mu.Unlock()

	if _, err := placeOf(ctx).aside(ctx, e.ready); err != nil {
		h.withdraw(e)
		return nil, err
	}
	if e.refused != nil {
		return nil, e.refused
	}
	return h, nil
}

// withdraw is for a fetch that waits no longer, even if it was let in at the last moment.
func (h *host) withdraw(e *entrance) {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if i := slices.Index(h.waiting, e); i >= 0 {
		h.waiting = slices.Delete(h.waiting, i, i+1)
	} else if e.refused == nil {
		h.under--
	}
	h.serve(time.Now())
}

// leave ends a fetch.
func (h *host) leave() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	h.under--
	h.serve(time.Now())
}

// answer notes that the host answers.
func (h *host) answer() {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	if h.pause > 0 {
		h.of.log.Info("a host answers again", "host", clip(h.name, 80))
	}
	h.answered, h.streak, h.pause, h.last = true, 0, 0, nil
	h.limit = min(h.limit+1, h.of.most)
	h.serve(time.Now())
}

// trouble notes an attempt that says the host does not work, and says whether it is in back-off.
func (h *host) trouble(f *Failure) (resting bool) {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	now := time.Now()
	if h.streak == 0 {
		h.since = now
	}
	h.streak++
	h.last, h.limit = f, max(h.limit-1, h.of.share)
	if h.streak >= troubleStreak && !now.Before(h.until) { // else it was begun before the others failed
		if h.pause == 0 {
			h.of.log.Warn("a host is in trouble and is left alone for a while", "host", clip(h.name, 80), "reason", f.Reason, "err", f)
		}
		h.pause = min(max(2*h.pause, hostPauseMin), hostPauseMax)
		h.until = now.Add(max(h.pause*3/4+rand.N(h.pause/4), min(f.RetryAfter, hostAskedMax)))
		h.serve(now)
	}
	return h.pause > 0
}

// resting says whether the host is in back-off.
func (h *host) resting() bool {
	h.of.mu.Lock()
	defer h.of.mu.Unlock()
	return h.pause > 0
}

// serve lets in who may begin now, turns away who would wait in vain, and comes again when that changes by itself.
func (h *host) serve(now time.Time) {
	for len(h.waiting) > 0 && h.under < h.allowed(now) && h.takeTurn(now) {
		h.under++
		close(h.next().ready)
	}
	if h.pause > 0 {
		end := h.since.Add(h.patience())
		if !h.of.patient || !end.After(later(now, h.until)) {
			for len(h.waiting) > 0 {
				e := h.next()
				e.refused = h.refusal(now)
				close(e.ready)
			}
		}
		if len(h.waiting) > 0 {
			h.wake(max(h.until.Sub(now), 0), end.Sub(now))
		}
	}
	if len(h.of.known) > maxHosts && h.under == 0 && len(h.waiting) == 0 && h.of.known[h.name] == h {
		delete(h.of.known, h.name)
	}
}

func (h *host) allowed(now time.Time) int {
	switch {
	case h.pause == 0:
		return h.limit
	case now.Before(h.until):
		return 0
	}
	return 1
}

// newTurns allows a tenth of a second's fetches at once: timers are late, and what they miss is made up for.
func newTurns(limit rate.Limit) *rate.Limiter {
	if limit <= 0 {
		return nil
	}
	return rate.NewLimiter(limit, max(1, int(limit/10)))
}

// takeTurn says whether a fetch may begin now by the rate, and serves again when the next one may.
func (h *host) takeTurn(now time.Time) bool {
	if h.turns == nil || h.turns.AllowN(now, 1) {
		return true
	}
	if h.nextTurn != nil {
		return false
	}
	next := h.turns.ReserveN(now, 1)
	wait := next.DelayFrom(now)
	next.CancelAt(now)
	h.nextTurn = time.AfterFunc(wait, func() {
		h.of.mu.Lock()
		defer h.of.mu.Unlock()
		h.nextTurn = nil
		h.serve(time.Now())
	})
	return false
}

// turn takes the next turn for a fetch that is under way and asks again, and says how far off it is.
func (h *host) turn() time.Duration {
	if h.turns == nil {
		return 0
	}
	return h.turns.Reserve().Delay()
}

func (h *host) next() *entrance {
	e := h.waiting[0]
	h.waiting = h.waiting[1:]
	return e
}

// wake serves at the end of the pause, or when patience ends while one tries.
func (h *host) wake(pause, patience time.Duration) {
	if pause == 0 {
		pause = patience
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	h.timer = time.AfterFunc(pause, func() {
		h.of.mu.Lock()
		defer h.of.mu.Unlock()
		h.serve(time.Now())
	})
}

// refusal is for a snapshot that was not asked for, as others of its host fail.
func (h *host) refusal(now time.Time) *Failure {
	reason := SourceUnreachable
	if h.last.Reason == SourceBusy {
		reason = SourceBusy
	}
	f := failf(reason, "not asked for, as its host %q has failed %d times in a row: %w", clip(h.name, 80), h.streak, h.last.Err)
	f.RetryAfter, f.Held = max(h.until.Sub(now), 0), true
	return f
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}
