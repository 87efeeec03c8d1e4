package vodtest

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"
)

// maxEvents is how many events a pull gives, and how many handles a confirmation takes.
const maxEvents = 16

// queue is the reliable callback's queue of an application.
type queue struct {
	hide time.Duration

	mu        sync.Mutex
	ready     []*event             // may be pulled, the first first
	pulled    []*delivery          // the oldest first
	handles   map[string]*delivery // those of pulled
	left      int                  // the events that nobody has confirmed
	confirmed []string
	pushed    chan struct{} // closed, and made anew, when ready gets longer
}

type event struct {
	text      string
	members   map[string]json.RawMessage
	confirmed bool
}

// delivery is an event with a puller. From back on its handle is worth nothing, and an unconfirmed event is ready again.
type delivery struct {
	*event
	handle string
	back   time.Time
}

func newQueue(hide time.Duration) queue {
	return queue{hide: hide, handles: map[string]*delivery{}, pushed: make(chan struct{})}
}

// Push puts events at the end of the queue: each is JSON as in a callback's body. A pull gives them whole, with a member EventHandle. What is
// not a JSON object is a mistake of the test: it panics.
func (s *Server) Push(events ...string) {
	q := &s.events
	q.mu.Lock()
	defer q.mu.Unlock()
	for i, text := range events {
		e := &event{text: text}
		if err := json.Unmarshal([]byte(text), &e.members); err != nil || e.members == nil {
			panic(fmt.Sprintf("vodtest: event %d to push is not a JSON object: %v", i, err))
		}
		q.ready = append(q.ready, e)
		q.left++
	}
	close(q.pushed)
	q.pushed = make(chan struct{})
}

// Unconfirmed counts the events that nobody has confirmed, with a puller or not.
func (s *Server) Unconfirmed() int {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return s.events.left
}

// Confirmed gives the events as they were pushed, in the order of their confirmation.
func (s *Server) Confirmed() []string {
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	return slices.Clone(s.events.confirmed)
}

// tidy ends the deliveries that have been out for long enough: their events go to the end of the queue. The caller holds the mutex.
func (q *queue) tidy() {
	now := time.Now()
	for len(q.pulled) > 0 && !now.Before(q.pulled[0].back) {
		d := q.pulled[0]
		q.pulled = q.pulled[1:]
		delete(q.handles, d.handle)
		if !d.confirmed {
			q.ready = append(q.ready, d.event)
		}
	}
}

// take gives up to 16 events to a puller who is still there. Where there is none, it says what to wait for.
func (q *queue) take(ctx context.Context) (taken []*delivery, pushed <-chan struct{}, back time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	if ctx.Err() != nil || len(q.ready) == 0 {
		if len(q.pulled) > 0 {
			back = q.pulled[0].back
		}
		return nil, q.pushed, back
	}
	n := min(len(q.ready), maxEvents)
	for _, e := range q.ready[:n] {
		d := &delivery{e, rand.Text(), time.Now().Add(q.hide)}
		q.handles[d.handle] = d
		taken = append(taken, d)
	}
	q.ready = q.ready[n:]
	q.pulled = append(q.pulled, taken...)
	return taken, nil, back
}

// poll waits for events until the deadline, or until the puller goes away.
func (q *queue) poll(ctx context.Context, deadline time.Time) []*delivery {
	for {
		taken, pushed, back := q.take(ctx)
		if len(taken) > 0 || ctx.Err() != nil || !time.Now().Before(deadline) {
			return taken
		}
		wake := deadline
		if !back.IsZero() && back.Before(wake) {
			wake = back
		}
		select {
		case <-pushed:
		case <-time.After(time.Until(wake)):
		case <-ctx.Done():
		}
	}
}

func (s *Server) pullEvents(ctx context.Context, params map[string]json.RawMessage) (answer, *fault) {
	var request struct{ ExtInfo string }
	if f := decode(params, &request); f != nil {
		return nil, f
	}
	taken := s.events.poll(ctx, time.Now().Add(s.options.Poll))
	if len(taken) == 0 {
		return nil, faultf("ResourceNotFound", "no event")
	}
	var set []map[string]json.RawMessage
	for _, d := range taken {
		members := maps.Clone(d.members)
		members["EventHandle"] = fmt.Appendf(nil, "%q", d.handle)
		set = append(set, members)
	}
	return answer{"EventSet": set}, nil
}

func (s *Server) confirmEvents(_ context.Context, params map[string]json.RawMessage) (answer, *fault) {
	var request struct {
		EventHandles []string
		ExtInfo      string
	}
	if f := decode(params, &request); f != nil {
		return nil, f
	}
	if n := len(request.EventHandles); n < 1 || n > maxEvents {
		return nil, faultf("InvalidParameterValue", "EventHandles must have 1 to %d elements", maxEvents)
	}
	q := &s.events
	q.mu.Lock()
	defer q.mu.Unlock()
	q.tidy()
	for _, handle := range request.EventHandles {
		if q.handles[handle] == nil {
			return nil, faultf("InvalidParameterValue.EventHandles", "invalid EventHandles")
		}
	}
	for _, handle := range request.EventHandles {
		if e := q.handles[handle].event; !e.confirmed {
			e.confirmed = true
			q.left--
			q.confirmed = append(q.confirmed, e.text)
		}
	}
	return answer{}, nil
}

func (s *Server) describeEventsState(_ context.Context, params map[string]json.RawMessage) (answer, *fault) {
	if f := decode(params, &struct{}{}); f != nil {
		return nil, f
	}
	s.events.mu.Lock()
	defer s.events.mu.Unlock()
	s.events.tidy()
	return answer{"CountOfEventsToPull": len(s.events.ready)}, nil
}
