package mirror

import (
	"context"
	"sync"

	"golang.org/x/sync/errgroup"
)

// Batch mirrors the snapshots that arrive on source, as many at once as the worker's Concurrency, and hands each Result to
// sink, which is called by one goroutine at a time, in the order in which work ends. It returns when source is closed, or when
// stop is done and what was begun is finished, or when ctx ends. A failing snapshot is a Result; an error of sink ends the
// batch like stop and is returned.
func (w *Worker) Batch(ctx, stop context.Context, source <-chan Snapshot, sink func(Result) error) error {
	stop, halt := context.WithCancelCause(stop)
	defer halt(nil)
	var mu sync.Mutex
	var group errgroup.Group
	for range w.options.Concurrency {
		group.Go(func() error {
			for {
				// Looked at alone first: a select with both ready would sometimes take another snapshot.
				if stop.Err() != nil {
					return nil
				}
				select {
				case <-stop.Done():
					return nil
				case s, ok := <-source:
					if !ok {
						return nil
					}
					r, err := w.Mirror(ctx, s)
					if err != nil {
						return err
					}
					mu.Lock()
					err = sink(r)
					mu.Unlock()
					if err != nil {
						halt(err)
						return err
					}
				}
			}
		})
	}
	return group.Wait()
}
