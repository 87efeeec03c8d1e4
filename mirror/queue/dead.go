package queue

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Dead visits the dead letters that the filter chooses, oldest first, as they are now. An error of visit ends it.
func (q *Queue) Dead(ctx context.Context, f mirror.LetterFilter, visit func(mirror.Letter) error) error {
	return q.eachDead(ctx, f, func(l letter, _ uint64) error { return visit(l.Letter) })
}

// Retry puts dead letters back into the queue and says how many. Each is taken out of the list only when it is queued.
func (q *Queue) Retry(ctx context.Context, f mirror.LetterFilter) (n int, err error) {
	err = q.eachDead(ctx, f, func(l letter, sequence uint64) error {
		if err := q.requeue(ctx, l); err != nil {
			return fmt.Errorf("queueing a snapshot again: %w", err)
		}
		n++
		return q.removeDead(ctx, sequence)
	})
	return n, err
}

// requeue returns nil when the letter's snapshot is in the queue in a message of its own: not in the one that the letter is
// about, which goes when whoever gave it up has written the letter.
func (q *Queue) requeue(ctx context.Context, l letter) error {
	subject := q.subject(kindSnapshot, id(l.Snapshot))
	data, err := json.Marshal([]mirror.Snapshot{l.Snapshot})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	for {
		stored, err := q.publish(ctx, q.snapshots, subject, data)
		if stored || err != nil {
			return err
		}
		there, err := q.snapshots.GetLastMsgForSubject(ctx, subject)
		switch {
		case errors.Is(err, jetstream.ErrMsgNotFound):
			continue
		case err != nil:
			return err
		case there.Sequence != l.Sequence:
			return nil // announced again since then
		}
		select {
		case <-time.After(burialPause):
		case <-ctx.Done():
			return errors.New("it is only just being given up: try again in a minute")
		}
	}
}

// burialPause is between two looks at a snapshot whose letter is written, and whose message is not gone yet.
const burialPause = 50 * time.Millisecond

// Discard drops dead letters and says how many. It touches no object.
func (q *Queue) Discard(ctx context.Context, f mirror.LetterFilter) (n int, err error) {
	err = q.eachDead(ctx, f, func(_ letter, sequence uint64) error {
		n++
		return q.removeDead(ctx, sequence)
	})
	return n, err
}

// removeDead is by sequence: a newer letter of the same snapshot stays.
func (q *Queue) removeDead(ctx context.Context, sequence uint64) error {
	err := q.dead.DeleteMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgDeleteUnsuccessful) && strings.Contains(err.Error(), noMessage) {
		return nil // somebody else has, just now
	}
	return err
}

// noMessage is the server's word for a message that is not there; the client passes on no code.
const noMessage = "no message found"

const deadBatch = 256

// oneDead visits a letter that is asked for by name, if the filter chooses it, whatever the number of the others.
func (q *Queue) oneDead(ctx context.Context, f mirror.LetterFilter, visit func(letter, uint64) error) error {
	if !idForm.MatchString(f.ID) {
		return nil // nor has it a place in a subject
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	m, err := q.dead.GetLastMsgForSubject(ctx, q.subject(kindDead, f.ID))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err := q.judge(err); err != nil {
		return fmt.Errorf("reading a dead letter: %w", err)
	}
	l, err := decodeLetter(m.Data)
	if err != nil || !f.Matches(l.Letter) {
		return nil
	}
	return visit(l, m.Sequence)
}

func (q *Queue) eachDead(ctx context.Context, f mirror.LetterFilter, visit func(letter, uint64) error) error {
	if f.ID != "" {
		return q.oneDead(ctx, f, visit)
	}
	info, err := q.dead.Info(ctx)
	if err := q.judge(err); err != nil {
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
				if err := visit(l, meta.Sequence.Stream); err != nil {
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
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if got == 0 { // what was left has been taken out meanwhile, or the connection was lost
			if info, err := consumer.Info(ctx); err != nil || info.NumPending > 0 {
				return errors.New("reading dead letters: the list came to no end; try again")
			}
			return nil
		}
	}
}
