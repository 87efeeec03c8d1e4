package queue

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// splitting is how many events are split at once: each waits for the disk.
const splitting = 4

// split makes a message for each snapshot of an event. The event is gone only when all are on disk.
func (q *Queue) split(ctx context.Context, m jetstream.Msg) {
	snapshots, err := decodeSnapshots(m.Data())
	if err != nil {
		q.foreign(ctx, m, err)
		return
	}
	if err := q.addSplit(ctx, snapshots); err != nil {
		q.log.Debug("splitting an event", "err", err)
		_ = m.NakWithDelay(time.Second)
		return
	}
	q.done(ctx, m)
}

func (q *Queue) addSplit(ctx context.Context, snapshots []mirror.Snapshot) error {
	if err := q.server.writable(reserve); err != nil {
		return err
	}
	acks := make([]jetstream.PubAckFuture, 0, len(snapshots))
	for _, s := range snapshots {
		data, err := json.Marshal([]mirror.Snapshot{s})
		if err != nil {
			return err
		}
		ack, err := q.js.PublishAsync(q.subject(kindSnapshot, id(s)), data)
		if err != nil {
			return err
		}
		acks = append(acks, ack)
	}
	for _, ack := range acks {
		select {
		case <-ack.Ok():
		case err := <-ack.Err():
			if err := q.judge(err); !errors.Is(err, errThere) {
				return err
			}
			if there, err := q.isStored(ctx, q.snapshots, ack.Msg().Subject); err != nil || !there {
				return cmp.Or(err, errors.New("the cluster has not agreed on a snapshot yet"))
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// splitAhead is how many snapshots may be ready before no more events are split: enough for the workers of a fleet, and the rest
// of a long queue costs a hundredth as long as it is events. It also leaves the disk to new events while there are many.
const splitAhead = 2000

// backlog keeps the splitters from getting too far ahead of the workers.
type backlog struct {
	mu    sync.Mutex
	asked time.Time
	ready uint64
}

const backlogAge = 50 * time.Millisecond

// wait returns when there is room, or with the context's error.
func (b *backlog) wait(ctx context.Context, workers jetstream.Consumer) error {
	for ctx.Err() == nil && b.look(ctx, workers) > splitAhead {
		select {
		case <-time.After(backlogAge):
		case <-ctx.Done():
		}
	}
	return ctx.Err()
}

// look asks the server at most once each backlogAge. When it does not answer, splitting will find out.
func (b *backlog) look(ctx context.Context, workers jetstream.Consumer) uint64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	if time.Since(b.asked) >= backlogAge {
		b.ready = 0
		if info, err := workers.Info(ctx); err == nil {
			b.ready = info.NumPending
		}
		b.asked = time.Now()
	}
	return b.ready
}
