package mirror

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Batch mirrors the snapshots that arrive on source, as many at once as the worker's Concurrency, and hands each Result to
// sink, which is called by one goroutine at a time, in the order in which work ends. It returns when source is closed, or when
// stop is done and what was begun is finished, or when ctx ends. A failing snapshot is a Result; an error of sink ends the
// batch like stop and is returned.
//
// Snapshots whose host has as many fetches under way as it may, or is in back-off, wait while others are worked on, up to Spare
// of them; they are not begun, and stop leaves them out.
//
// A store that takes nothing is waited for: what it did not take is tried again, and everything else waits. When it stays away
// for longer than StorePatience, or refuses everything, the batch ends like stop, with a [*Stopped].
func (w *Worker) Batch(ctx, stop context.Context, source <-chan Snapshot, sink func(Result) error) error {
	return runBatch(ctx, stop, w, w.try, source, sink)
}

// runBatch is Batch for any work on what comes from source.
func runBatch[T any](ctx, stop context.Context, w *Worker, try func(context.Context, T) (Result, error), source <-chan T, sink func(Result) error) error {
	stop, halt := context.WithCancelCause(stop)
	defer halt(nil)
	b := &batch[T]{Worker: w, try: try, stop: stop, halt: halt, sink: sink, gate: NewGate(w.log)}
	var failed error // of the context or the sink, which ended the batch
	var once sync.Once
	RunPlaces(stop, w.options.Concurrency, func(place *Place) bool {
		more, err := b.one(place.With(ctx), source)
		if err != nil {
			once.Do(func() { failed = err })
			halt(err)
		}
		return more
	})
	if failed != nil {
		return failed
	}
	if stopped, ok := errors.AsType[*Stopped](context.Cause(stop)); ok {
		return stopped
	}
	return nil
}

// Stopped is why a batch ended before its source: going on would only have made all the rest fail.
type Stopped struct {
	Reason Reason // StoreDenied or StoreUnavailable
	Err    error  // the store's last
}

func (s *Stopped) Error() string {
	if s.Reason == StoreDenied {
		return fmt.Sprintf("the destination refuses us: %v", s.Err)
	}
	return fmt.Sprintf("the destination takes no pictures: %v", s.Err)
}

// Unwrap gives the store's error.
func (s *Stopped) Unwrap() error { return s.Err }

type batch[T any] struct {
	*Worker
	try  func(context.Context, T) (Result, error)
	stop context.Context
	halt context.CancelCauseFunc
	gate *Gate

	refused  lately
	mu       sync.Mutex
	sink     func(Result) error
	refusals refusals
}

// one takes a piece of work, if there is more to do, and hands its result on.
func (b *batch[T]) one(ctx context.Context, source <-chan T) (more bool, _ error) {
	// Looked at alone first: a select with both ready would sometimes take another snapshot.
	if b.gate.Wait(b.stop) != nil {
		return false, nil
	}
	select {
	case <-b.stop.Done():
		return false, nil
	case s, ok := <-source:
		if !ok {
			return false, nil
		}
		r, err := b.persist(ctx, s)
		if errors.Is(err, errStopped) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, b.settle(ctx, r)
	}
}

// storeTries is how often a snapshot is tried that the store does not take while it takes others.
const storeTries = 3

// persist does the work, and tries again while the store is away.
func (b *batch[T]) persist(ctx context.Context, s T) (Result, error) {
	begin, attempts := time.Now(), 0
	for own := 0; ; {
		r, err := b.try(ctx, s)
		if err != nil {
			return r, err
		}
		attempts += r.Attempts
		r.Attempts, r.Elapsed = attempts, time.Since(begin)
		switch {
		case r.Outcome != Failed:
			b.gate.Worked()
			b.refused.none()
			return r, nil
		case r.Reason != StoreUnavailable:
			b.gate.OtherFailure()
			return r, nil
		}
		alone := b.refused.alone(r.Key)
		if single := b.gate.Failed(r.Err); single {
			own++
		} else if b.gate.Outage() > b.options.StorePatience {
			if alone { // there is nothing else to tell by
				return r, nil
			}
			b.halt(&Stopped{r.Reason, r.Err})
		}
		if own == storeTries || b.gate.Wait(b.stop) != nil {
			return r, nil
		}
	}
}

// lately is which objects the store has not taken since it took one.
type lately struct {
	mu   sync.Mutex
	key  string
	more bool // than that key
}

// none notes that the store took an object.
func (l *lately) none() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.key, l.more = "", false
}

// alone notes an object that the store did not take, and says whether it is the only one.
func (l *lately) alone(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.key == "" {
		l.key = key
	}
	l.more = l.more || l.key != key
	return !l.more
}

func (b *batch[T]) settle(ctx context.Context, r Result) error {
	b.tell(ctx, r)
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.refusals.all(r) {
		b.halt(&Stopped{r.Reason, r.Err})
	}
	return b.sink(r)
}

// refusals tells a store that refuses everything from one that refuses some objects, as a policy for one folder does.
type refusals struct {
	taken bool            // the store has taken, or known, a picture
	whole int             // refusals in a row that concern everything, by the store's own word
	n     int             // refusals in a row
	files map[string]bool // their videos
}

const (
	refusedWhole = 3 // one may be a slip, of a service that has just been told of a new bucket
	refusedFiles = 10
)

// all notes a result, and says whether the store refuses everything.
func (f *refusals) all(r Result) bool {
	if r.Outcome != Failed {
		*f = refusals{taken: true}
		return false
	}
	if r.Reason != StoreDenied {
		return false
	}
	if f.n++; f.files == nil {
		f.files = map[string]bool{}
	}
	f.files[r.Snapshot.FileID] = true
	if e, ok := errors.AsType[*store.Error](r.Err); ok && e.Whole {
		f.whole++
	}
	return f.whole >= refusedWhole || len(f.files) >= refusedFiles || f.n >= refusedFiles && !f.taken
}
