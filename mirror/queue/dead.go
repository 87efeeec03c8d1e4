package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Dead visits the dead letters that the filter chooses, oldest first, as they are now. An error of visit ends it.
func (q *Queue) Dead(ctx context.Context, f mirror.LetterFilter, visit func(mirror.Letter) error) error {
	return q.eachDead(ctx, f, func(l mirror.Letter, _ uint64) error { return visit(l) })
}

// Retry puts dead letters back into the queue and says how many. Each is taken out of the list only when it is queued.
func (q *Queue) Retry(ctx context.Context, f mirror.LetterFilter) (n int, err error) {
	err = q.eachDead(ctx, f, func(l mirror.Letter, sequence uint64) error {
		data, err := json.Marshal([]mirror.Snapshot{l.Snapshot})
		if err != nil {
			return err
		}
		if err := q.publish(ctx, q.subject(kindSnapshot, id(l.Snapshot)), data); err != nil {
			return fmt.Errorf("queueing a snapshot again: %w", err)
		}
		n++
		return q.removeDead(ctx, sequence)
	})
	return n, err
}

// Discard drops dead letters and says how many. It touches no object.
func (q *Queue) Discard(ctx context.Context, f mirror.LetterFilter) (n int, err error) {
	err = q.eachDead(ctx, f, func(_ mirror.Letter, sequence uint64) error {
		n++
		return q.removeDead(ctx, sequence)
	})
	return n, err
}

// removeDead is by sequence: a newer letter of the same snapshot stays.
func (q *Queue) removeDead(ctx context.Context, sequence uint64) error {
	err := q.dead.DeleteMsg(ctx, sequence)
	if api := (*jetstream.APIError)(nil); errors.Is(err, jetstream.ErrMsgNotFound) || errors.As(err, &api) && api.ErrorCode == noSuchMessage {
		return nil // somebody else's, just now
	}
	return err
}

// noSuchMessage is the server's code for the deletion of a sequence that is not there.
const noSuchMessage = 10043

const deadBatch = 256

func (q *Queue) eachDead(ctx context.Context, f mirror.LetterFilter, visit func(mirror.Letter, uint64) error) error {
	info, err := q.dead.Info(ctx)
	if err != nil {
		return fmt.Errorf("reading dead letters: %w", err)
	}
	if info.State.Msgs == 0 {
		return nil
	}
	last := info.State.LastSeq // a letter that comes later is not part of this
	consumer, err := q.dead.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{InactiveThreshold: time.Minute})
	if err != nil {
		return fmt.Errorf("reading dead letters: %w", err)
	}
	for {
		batch, err := consumer.Fetch(deadBatch, jetstream.FetchMaxWait(callTimeout))
		if err != nil {
			return fmt.Errorf("reading dead letters: %w", err)
		}
		got := 0
		for m := range batch.Messages() {
			got++
			meta, err := m.Metadata()
			if err != nil {
				return err
			}
			if meta.Sequence.Stream > last {
				return nil
			}
			if l, err := decodeLetter(m.Data()); err == nil && f.Matches(l.Letter) {
				if err := visit(l.Letter, meta.Sequence.Stream); err != nil {
					return err
				}
			}
			if meta.NumPending == 0 || meta.Sequence.Stream == last {
				return nil
			}
		}
		if batch.Error() != nil {
			return fmt.Errorf("reading dead letters: %w", batch.Error())
		}
		if got == 0 || ctx.Err() != nil {
			return ctx.Err()
		}
	}
}
