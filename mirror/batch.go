package mirror

import (
	"context"
	"errors"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Batch mirrors the snapshots that arrive on source, as many at once as the worker's Concurrency, and hands each Result to
// sink, which is called by one goroutine at a time, in the order in which work ends. It returns when source is closed, or when
// stop is done and what was begun is finished, or when ctx ends. A failing snapshot is a Result; an error of sink ends the
// batch like stop and is returned.
//
// Snapshots whose host has as many fetches under way as it may, or is in back-off, wait while others are worked on, up to Spare
// of them; they are not begun, and stop leaves them out.
func (w *Worker) Batch(ctx, stop context.Context, source <-chan Snapshot, sink func(Result) error) error {
	stop, halt := context.WithCancelCause(stop)
	defer halt(nil)
	var mu sync.Mutex
	var group errgroup.Group
	places := NewPlaces(w.options.Concurrency)
	for range w.options.Concurrency + Spare {
		group.Go(func() error {
			for {
				place, err := places.Take(stop)
				if err != nil {
					return nil
				}
				more, err := w.one(place.With(ctx), stop, source, func(r Result) error {
					mu.Lock()
					defer mu.Unlock()
					return sink(r)
				})
				place.Leave()
				if err != nil {
					halt(err)
				}
				if err != nil || !more {
					return err
				}
			}
		})
	}
	return group.Wait()
}

// one takes a snapshot, if there is more to do, and hands its result on.
func (w *Worker) one(ctx, stop context.Context, source <-chan Snapshot, sink func(Result) error) (more bool, _ error) {
	// Looked at alone first: a select with both ready would sometimes take another snapshot.
	if stop.Err() != nil {
		return false, nil
	}
	select {
	case <-stop.Done():
		return false, nil
	case s, ok := <-source:
		if !ok {
			return false, nil
		}
		r, err := w.Mirror(ctx, s)
		if errors.Is(err, errStopped) {
			return false, nil
		}
		if err != nil {
			return false, err
		}
		return true, sink(r)
	}
}
