package queue

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// State is how full the queue is.
type State struct {
	// Events have not been split yet; each is up to 100 snapshots.
	Events uint64
	// Ready snapshots can be taken at once, Delayed ones wait for another try (or are in flight in other processes), Dead ones
	// were given up.
	Ready, Delayed, Dead uint64
	// InFlight snapshots are being worked on in this process. Of what is not Ready, none is in neither of the two.
	InFlight uint64
	// Oldest is when what has been queued longest was queued; zero when nothing is.
	Oldest time.Time
	// Bytes on the disk, of all streams.
	Bytes uint64
}

// State asks the server.
func (q *Queue) State(ctx context.Context) (State, error) {
	var s State
	events, err := q.events.Info(ctx)
	if err != nil {
		return s, err
	}
	workers, err := q.workers.Info(ctx)
	if err != nil {
		return s, err
	}
	s.InFlight = uint64(max(q.InFlight(), 0)) // after what is out was counted: what ended since then is done
	snapshots, err := q.snapshots.Info(ctx)
	if err != nil {
		return s, err
	}
	dead, err := q.dead.Info(ctx)
	if err != nil {
		return s, err
	}
	s.Events, s.Ready, s.Dead = events.State.Msgs, workers.NumPending, dead.State.Msgs
	out := uint64(workers.NumAckPending)
	if out > s.InFlight {
		s.Delayed = out - s.InFlight
	}
	// A consumer hears of new messages a moment late. A busy queue must not look empty in between.
	if snapshots.State.Msgs > out {
		s.Ready = max(s.Ready, snapshots.State.Msgs-out)
	}
	if events.State.Msgs > 0 {
		s.Oldest = events.State.FirstTime
	}
	if snapshots.State.Msgs > 0 && (s.Oldest.IsZero() || snapshots.State.FirstTime.Before(s.Oldest)) {
		s.Oldest = snapshots.State.FirstTime
	}
	s.Bytes = events.State.Bytes + snapshots.State.Bytes + dead.State.Bytes
	return s, nil
}

// Ready says why an event can't be accepted durably now, or nil.
func (q *Queue) Ready(ctx context.Context) error {
	if q.conn.Status() != nats.CONNECTED {
		return errNoConnection
	}
	if err := q.server.writable(MinFree); err != nil {
		return err
	}
	if q.health.failing() {
		return errors.New("the last event could not be queued")
	}
	// Answered by the stream's leader: without a majority there is none.
	if _, err := q.events.Info(ctx); err != nil {
		return errors.New("the queue does not answer")
	}
	return nil
}

// health remembers whether events can be queued. A failure counts for a while only: whoever waits for readiness sends none that
// could succeed.
type health struct {
	mu       sync.Mutex
	failedAt time.Time
}

const failureLasts = 10 * time.Second

func (h *health) failed() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failedAt = time.Now()
}

func (h *health) worked() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.failedAt = time.Time{}
}

func (h *health) failing() bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return !h.failedAt.IsZero() && time.Since(h.failedAt) < failureLasts
}
