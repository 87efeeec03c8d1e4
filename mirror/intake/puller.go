package intake

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Puller takes events from VOD's reliable callback, queues their snapshots, and only then confirms them. What it does not
// confirm comes back to it, or to another puller, after half a minute: nothing is lost whatever fails.
//
// There is one queue of events for a whole application, and confirming takes an event out of it for everybody. So what becomes
// of events that are not ours is the operator's word: see [Unhandled].
type Puller struct {
	API   *vod.API
	Queue Queue
	// Unhandled says what becomes of events that can't be queued as snapshots.
	Unhandled Unhandled
	// Filter says which snapshots are queued. An event of which none is counts as foreign, and is done with.
	Filter mirror.Filter
	// PulledFor is how long an event stays with who pulled it; 0 is vod.PulledFor.
	PulledFor time.Duration
	// Log may be nil. What strangers send reaches it clipped and without control characters.
	Log *slog.Logger
	// Count is told what each event was, Ended what became of it, Failed of each call that failed. Called by many goroutines at
	// once; any may be nil.
	Count  func(EventOutcome, int)
	Ended  func(PullEnd, int)
	Failed func(vod.APIErrorKind)
	// LeftOut is told of snapshots that Filter does not take, like Count.
	LeftOut func(n int)

	decoder *decoder
	items   limit
	first   firsts
	trouble trouble
}

// PullEnd is what became of an event that was pulled. The set is closed: [PullEnds].
type PullEnd string

// The ends; what each means stands in [PullEnds].
const (
	PullConfirmed   PullEnd = "confirmed"
	PullLeft        PullEnd = "left"
	PullUnconfirmed PullEnd = "unconfirmed"
	PullUnforwarded PullEnd = "unforwarded"
)

// PullEnds is the one table of them. All but confirmed ones come back, and are counted again.
var PullEnds = []struct {
	End     PullEnd
	Meaning string
}{
	{PullConfirmed, "taken out of VOD's queue: its snapshots are in ours, or --pull-unhandled says so"},
	{PullLeft, "left in VOD's queue, as --pull-unhandled says: it comes back every 30 s"},
	{PullUnconfirmed, "our queue could not take it, or VOD did not take the confirmation in time: it comes back"},
	{PullUnforwarded, "the receiver of --pull-unhandled did not answer with 2xx: it comes back"},
}

// Run pulls with n calls at a time until stop is done, and returns when what was pulled is settled.
func (p *Puller) Run(stop context.Context, n int) {
	p.init()
	var group errgroup.Group
	for range n {
		group.Go(func() error {
			for failures := 0; stop.Err() == nil; {
				err := p.once(stop)
				switch {
				case stop.Err() != nil:
				case err == nil:
					failures = 0
				default:
					failures++
					sleep(stop, pullBackoff(err, failures))
				}
			}
			return nil
		})
	}
	_ = group.Wait()
}

func (p *Puller) init() {
	if p.PulledFor == 0 {
		p.PulledFor = vod.PulledFor
	}
	if p.Log == nil {
		p.Log = slog.New(slog.DiscardHandler)
	}
	p.decoder = newDecoder()
	p.items = limit{every: time.Second / 10, burst: 100}
	p.trouble.log = p.Log
}

// once pulls a handful of events and settles them. An error says that the next pull had better wait.
func (p *Puller) once(stop context.Context) error {
	events, err := p.API.PullEvents(stop)
	if stop.Err() != nil {
		return nil // what VOD may have handed out comes back
	}
	if err != nil {
		p.failed(err)
		return err
	}
	p.trouble.over("pulling")
	if len(events) == 0 {
		return nil
	}
	// A signal does not interrupt what was pulled: it takes a moment to settle, and half a minute to come back.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(stop), p.PulledFor)
	defer cancel()
	return p.settle(ctx, events)
}

const (
	pullBackoffMin = time.Second
	pullBackoffMax = time.Minute
	// throttledMax is shorter: calls are refused for the second that is full.
	throttledMax = 10 * time.Second
)

// pullBackoff is the wait after so many failures in a row: doubling, with jitter.
func pullBackoff(err error, failures int) time.Duration {
	longest := pullBackoffMax
	if e, ok := errors.AsType[*vod.APIError](err); ok && e.Kind == vod.Throttled {
		longest = throttledMax
	}
	d := min(pullBackoffMin<<min(failures-1, 10), longest)
	return d/2 + rand.N(d/2)
}

func sleep(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}

func (p *Puller) failed(err error) {
	e, ok := errors.AsType[*vod.APIError](err)
	if !ok {
		return
	}
	if p.Failed != nil {
		p.Failed(e.Kind)
	}
	p.trouble.with("pulling", string(e.Kind)+e.Code, err, e.Hint)
}

// Works says whether VOD answered the last pull.
func (p *Puller) Works() bool { return !p.trouble.is("pulling") }

// trouble tells of a failure when it begins, when it changes, now and then while it lasts, and when it is over.
type trouble struct {
	log *slog.Logger
	mu  sync.Mutex
	now map[string]toldTrouble // by what is in trouble
}

type toldTrouble struct {
	cause string
	at    time.Time
}

// tellAgain is between two lines about the same trouble.
const tellAgain = 10 * time.Minute

func (t *trouble) with(what, cause string, err error, hint string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if told, ok := t.now[what]; ok && told.cause == cause && time.Since(told.at) < tellAgain {
		return
	}
	if t.now == nil {
		t.now = map[string]toldTrouble{}
	}
	t.now[what] = toldTrouble{cause, time.Now()}
	args := []any{"err", err}
	if hint != "" {
		args = append(args, "hint", hint)
	}
	t.log.Warn(what+" VOD's events fails: it is tried again", args...)
}

func (t *trouble) over(what string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if _, ok := t.now[what]; ok {
		delete(t.now, what)
		t.log.Info(what + " VOD's events works again")
	}
}

func (t *trouble) is(what string) bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	_, ok := t.now[what]
	return ok
}
