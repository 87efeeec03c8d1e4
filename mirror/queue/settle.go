package queue

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// settle decides what becomes of a snapshot after a try: gone, again later, or a dead letter.
func (q *Queue) settle(ctx context.Context, m jetstream.Msg, r mirror.Result) {
	ctx = context.WithoutCancel(ctx)
	if r.Outcome != mirror.Failed {
		q.gate.Worked()
		if q.done(ctx, m) && deliveries(m) > 1 {
			q.forget(ctx, r.Snapshot)
		}
		return
	}
	if storeOutage(r.Reason) {
		// Not the snapshot's fault: nothing is noted against it, however long it takes. In an outage, the gate does the waiting:
		// when the store is back, all shall be tried soon.
		delay := max(jitter(q.options.RetryMin), r.RetryAfter)
		if q.gate.Failed(r.Err) {
			delay = max(backoff(deliveries(m), q.options.RetryMin, q.options.RetryMax), r.RetryAfter)
			q.log.Warn("the destination does not take a snapshot: it waits in the queue", "file_id", r.Snapshot.FileID,
				"time_offset", r.Snapshot.TimeOffset.String(), "reason", r.Reason, "err", r.Err, "delay", delay.Round(time.Millisecond))
		}
		_ = m.NakWithDelay(delay)
		return
	}
	q.gate.OtherFailure()
	l, err := q.note(ctx, m, r)
	if err != nil {
		q.log.Warn("noting a failure in the queue", "err", err)
		_ = m.NakWithDelay(jitter(q.options.RetryMin))
		return
	}
	if r.Reason.Info().Retry == mirror.Never || l.Last.Sub(l.First) >= q.options.GiveUpAfter {
		q.bury(ctx, m, l)
		return
	}
	failures := l.Attempts
	if r.Held {
		failures = deliveries(m)
	}
	delay := max(backoff(failures, q.options.RetryMin, q.options.RetryMax), r.RetryAfter)
	if l.Attempts == 1 && !r.Held { // later ones would drown the log
		q.log.Info("snapshot failed and will be tried again", append(about(l), "delay", delay.Round(time.Millisecond))...)
	}
	if err := q.putLetter(ctx, kindWaiting, l); err != nil {
		q.log.Warn("noting a failure in the queue", "err", err)
	}
	_ = m.NakWithDelay(delay)
}

// storeOutage says whether the store is to blame, not the snapshot.
func storeOutage(r mirror.Reason) bool {
	return r == mirror.StoreUnavailable || r == mirror.StoreDenied
}

// deliveries is how often the message was given to a worker, this time included.
func deliveries(m jetstream.Msg) int {
	meta, err := m.Metadata()
	if err != nil {
		return 1
	}
	return int(min(meta.NumDelivered, 1000))
}

// backoff is the wait after so many failures: doubling, with jitter, so that what failed together does not come back together.
func backoff(failures int, shortest, longest time.Duration) time.Duration {
	d := longest
	if shift := failures - 1; shift < 32 && shortest<<shift>>shift == shortest {
		d = min(shortest<<shift, longest)
	}
	return jitter(d)
}

// jitter gives three to five quarters of d.
func jitter(d time.Duration) time.Duration { return d*3/4 + rand.N(d/2+1) }

// note adds a failure to what is known of the snapshot's earlier ones.
func (q *Queue) note(ctx context.Context, m jetstream.Msg, r mirror.Result) (letter, error) {
	meta, err := m.Metadata()
	if err != nil {
		return letter{}, err
	}
	now := time.Now().UTC()
	l := letter{mirror.Letter{Snapshot: r.Snapshot, First: now}, meta.Sequence.Stream}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	before, err := q.waiting.GetLastMsgForSubject(ctx, q.subject(kindWaiting, id(r.Snapshot)))
	if err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
		return letter{}, err
	}
	if err == nil {
		// A record of an earlier message with the same snapshot is not this one's: it would give up at once.
		if old, err := decodeLetter(before.Data); err == nil && old.Sequence == l.Sequence {
			l.First, l.Attempts = old.First, old.Attempts
		}
	}
	l.Last, l.Reason, l.Error = now, r.Reason, r.Err.Error()
	if !r.Held { // nothing was tried
		l.Attempts++
	}
	return l, nil
}

// bury makes a dead letter of the snapshot, and only then takes it out of the queue.
func (q *Queue) bury(ctx context.Context, m jetstream.Msg, l letter) {
	if err := q.putLetter(ctx, kindDead, l); err != nil {
		q.log.Warn("writing a dead letter", "err", err)
		_ = m.NakWithDelay(jitter(q.options.RetryMin))
		return
	}
	q.log.Warn("snapshot given up", about(l)...)
	if q.done(ctx, m) {
		q.forget(ctx, l.Snapshot)
	}
}

func about(l letter) []any {
	return []any{"file_id", l.FileID, "time_offset", l.TimeOffset.String(), "definition", l.Definition, "task_id", l.TaskID,
		"reason", l.Reason, "attempt", l.Attempts, "err", l.Error}
}

// forget drops what was noted of a snapshot that is settled. What stays by mischance expires.
func (q *Queue) forget(ctx context.Context, s mirror.Snapshot) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if err := q.waiting.Purge(ctx, jetstream.WithPurgeSubject(q.subject(kindWaiting, id(s)))); err != nil {
		q.log.Debug("forgetting a failure", "err", err)
	}
}

func (q *Queue) putLetter(ctx context.Context, kind string, l letter) error {
	data, err := json.Marshal(l)
	if err != nil {
		return err
	}
	stream := q.waiting
	if kind == kindDead {
		stream = q.dead
	}
	_, err = q.publish(ctx, stream, q.subject(kind, id(l.Snapshot)), data)
	return err
}
