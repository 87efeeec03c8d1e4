package intake

import (
	"context"
	"errors"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Unhandled says what becomes of pulled events that announce no snapshots, or can't be understood. The zero value leaves them.
type Unhandled struct {
	// Confirm takes them out of VOD's queue: right where nobody else wants them.
	Confirm bool
	// Forward is a URL that they are posted to, and confirmed when it has answered with 2xx; "" forwards nothing. Events that
	// tell of other sub-tasks beside snapshots are forwarded too.
	Forward string
}

// settle queues what the events announce, and confirms those that are done with. It returns before the context's deadline, when
// the events will be somebody else's. An error is the queue's.
func (p *Puller) settle(ctx context.Context, events []vod.Pulled) error {
	var done, forward []vod.Pulled
	var failure error
	for i, pulled := range events {
		handled, mixed, err := p.queue(ctx, pulled)
		if err != nil {
			p.count(EventRefused, len(events)-i)
			p.ended(PullUnconfirmed, len(events)-i)
			p.trouble.with("queueing", "", err, "")
			failure = err
			break
		}
		switch {
		case p.Unhandled.Forward != "" && (!handled || mixed):
			forward = append(forward, pulled)
		case handled || p.Unhandled.Confirm:
			done = append(done, pulled)
		default:
			p.ended(PullLeft, 1)
		}
	}
	if failure == nil {
		p.trouble.over("queueing")
	}
	p.confirm(ctx, done)
	p.confirm(ctx, p.forward(ctx, forward))
	return failure
}

// queue puts an event's snapshots into the queue. handled says that nothing of them is missing there; an error, that the queue
// can't take them now.
func (p *Puller) queue(ctx context.Context, pulled vod.Pulled) (handled, mixed bool, _ error) {
	event, free, err := p.decoder.decode(ctx, pulled.Text)
	defer free()
	switch {
	case ctx.Err() != nil:
		return false, false, ctx.Err()
	case err != nil:
		p.count(EventMalformed, 1)
		p.warn("an event from VOD can't be understood", "err", printable(err.Error(), 300))
		return false, false, nil
	case !event.Carries:
		p.count(EventForeign, 1)
		p.tellUnhandled(event.Type)
		return false, false, nil
	}
	wanted, leftOut := p.Filter.Split(event.Snapshots)
	if len(wanted) > 0 {
		if err := p.Queue.Add(ctx, wanted); err != nil {
			return false, false, err
		}
	}
	if leftOut > 0 && p.LeftOut != nil {
		p.LeftOut(leftOut)
	}
	for _, failed := range event.Failed {
		if more, ok := p.items.allow(time.Now()); ok {
			logAnnounced(p.Log, failed, more)
		}
	}
	for _, err := range event.Malformed {
		p.warn("an event from VOD has a part that can't be understood", "err", printable(err.Error(), 300))
	}
	switch {
	case len(event.Malformed) > 0:
		p.count(EventMalformed, 1)
	case len(wanted) > 0:
		p.count(EventQueued, 1)
	default:
		p.count(EventForeign, 1)
	}
	if event.Mixed && p.Unhandled.Forward == "" && p.first.time("mixed") {
		p.Log.Warn("events that tell of snapshots and of other sub-tasks are confirmed: whoever else pulls from this application does not get them",
			"type", printable(event.Type, 80), "hint", "have them forwarded: --pull-unhandled forward=URL")
	}
	return len(event.Malformed) == 0, event.Mixed, nil
}

// tellUnhandled says once what the operator's word about foreign events means.
func (p *Puller) tellUnhandled(kind string) {
	if !p.first.time("foreign") {
		return
	}
	args := []any{"type", printable(kind, 80)}
	switch {
	case p.Unhandled.Forward != "":
		p.Log.Info("events without snapshots are forwarded", args...)
	case p.Unhandled.Confirm:
		p.Log.Warn("events without snapshots are confirmed: nobody else gets them", args...)
	default:
		p.Log.Warn("events without snapshots are left in VOD's queue: they come back every 30 s and take up places until somebody confirms them, or four days have passed",
			append(args, "hint", "where nobody else pulls: --pull-unhandled confirm or forward=URL")...)
	}
}

const (
	confirmTries = 3
	confirmPause = 500 * time.Millisecond
)

// confirm takes events out of VOD's queue. Those that it can't come back; what they announce is queued once all the same.
func (p *Puller) confirm(ctx context.Context, events []vod.Pulled) {
	if len(events) == 0 {
		return
	}
	handles := make([]string, len(events))
	for i, e := range events {
		handles[i] = e.Handle
	}
	var err error
	for try := range confirmTries {
		if try > 0 {
			sleep(ctx, confirmPause<<try)
		}
		if err = p.API.ConfirmEvents(ctx, handles); err == nil {
			p.trouble.over("confirming")
			p.ended(PullConfirmed, len(events))
			return
		}
		if e, ok := errors.AsType[*vod.APIError](err); ctx.Err() != nil || !ok || e.Kind == vod.Refused || e.Kind == vod.Denied {
			break
		}
	}
	p.ended(PullUnconfirmed, len(events))
	e, ok := errors.AsType[*vod.APIError](err)
	if !ok || e.Kind == vod.Refused { // too late, most likely
		p.Log.Info("events were not confirmed in time: they come again", "events", len(events), "err", err)
		return
	}
	if p.Failed != nil {
		p.Failed(e.Kind)
	}
	p.trouble.with("confirming", string(e.Kind)+e.Code, err, e.Hint)
}

// forward posts events to the operator's receiver, all at once, and gives those that it has taken.
func (p *Puller) forward(ctx context.Context, events []vod.Pulled) (taken []vod.Pulled) {
	var mu sync.Mutex
	var group errgroup.Group
	for _, e := range events {
		group.Go(func() error {
			err := post(ctx, p.Unhandled.Forward, e.Text)
			mu.Lock()
			defer mu.Unlock()
			if err == nil {
				taken = append(taken, e)
				return nil
			}
			p.ended(PullUnforwarded, 1)
			p.warn("the receiver of --pull-unhandled does not take an event: it comes again", "err", err)
			return nil
		})
	}
	_ = group.Wait()
	return taken
}

func (p *Puller) warn(message string, args ...any) {
	if more, ok := p.items.allow(time.Now()); ok {
		p.Log.Warn(message, append(args, "unlogged", more)...)
	}
}

func (p *Puller) count(outcome EventOutcome, n int) {
	if p.Count != nil {
		p.Count(outcome, n)
	}
}

func (p *Puller) ended(end PullEnd, n int) {
	if p.Ended != nil {
		p.Ended(end, n)
	}
}

// firsts knows what has been told already.
type firsts struct {
	mu   sync.Mutex
	told map[string]bool
}

func (f *firsts) time(what string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.told == nil {
		f.told = map[string]bool{}
	}
	first := !f.told[what]
	f.told[what] = true
	return first
}
