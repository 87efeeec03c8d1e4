package queue

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The names of the durable consumers: of the events, to be split, and of the snapshots, to be mirrored.
const (
	splittersName = "splitters"
	workersName   = "workers"
)

func (q *Queue) makeConsumers(ctx context.Context) (splitters, workers jetstream.Consumer, _ error) {
	for _, c := range []struct {
		consumer *jetstream.Consumer
		stream   jetstream.Stream
		name     string
	}{{&splitters, q.events, splittersName}, {&workers, q.snapshots, workersName}} {
		var err error
		// No BackOff, which would distort delays; no limits on deliveries or on what is out, where the delayed ones count too.
		*c.consumer, err = c.stream.CreateOrUpdateConsumer(ctx, jetstream.ConsumerConfig{
			Durable: c.name, AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: -1, MaxWaiting: 1 << 16,
		})
		if err != nil {
			return nil, nil, fmt.Errorf("making the consumer %s: %w", c.name, err)
		}
	}
	return splitters, workers, nil
}

// repairs remembers when the consumers were last made anew.
type repairs struct {
	mu   sync.Mutex
	last time.Time
}

const repairPause = 5 * time.Second

// repair makes consumers anew that somebody may have deleted: else what is queued would wait for ever.
func (q *Queue) repair(ctx context.Context) {
	q.repairs.mu.Lock()
	defer q.repairs.mu.Unlock()
	if time.Since(q.repairs.last) < repairPause {
		return
	}
	q.repairs.last = time.Now()
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if _, _, err := q.makeConsumers(ctx); err != nil {
		q.log.Warn("the queue gives out no work", "err", err)
	}
}

// revive finds messages that a consumer takes for done and that are in the stream all the same: a disk that was full for a
// moment can take the one and not the other. Nobody would ever be given them, and they would be duplicates of whatever is
// announced again. Only an embedded server is looked through: its disk is ours, and nobody else is at work.
func (q *Queue) revive(ctx context.Context) error {
	if q.server.replicated() {
		return nil
	}
	for _, c := range []struct {
		consumer jetstream.Consumer
		stream   jetstream.Stream
		name     string
	}{{q.splitters, q.events, splittersName}, {q.workers, q.snapshots, workersName}} {
		stream, err := c.stream.Info(ctx)
		if err != nil {
			return err
		}
		consumer, err := c.consumer.Info(ctx)
		if err != nil {
			return err
		}
		known := consumer.NumPending + uint64(consumer.NumAckPending)
		if stream.State.Msgs <= known {
			continue
		}
		q.log.Warn("the queue holds what counts as done, as after a full disk: all of it is looked at again", "queue", stream.Config.Name,
			"messages", stream.State.Msgs, "known", known)
		if err := c.stream.DeleteConsumer(ctx, c.name); err != nil {
			return err
		}
	}
	_, _, err := q.makeConsumers(ctx)
	return err
}

// reviveRestarted is called when the connection has come back, and so has an embedded server.
func (q *Queue) reviveRestarted() {
	if !q.opened.Load() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if err := q.revive(ctx); err != nil {
		q.log.Warn("looking through the queue", "err", err)
	}
}
