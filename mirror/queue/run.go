package queue

import (
	"context"
	"errors"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Work mirrors one snapshot. A snapshot that fails is a Result; an error says that the work was interrupted, and counts as
// nothing. It is called by many goroutines at once.
type Work func(context.Context, mirror.Snapshot) (mirror.Result, error)

// Run works off the queue, n snapshots at once and up to [mirror.Spare] more that wait for their host, until stop is done and what
// was begun is finished, or ctx ends, which interrupts what was begun: it stays queued.
func (q *Queue) Run(ctx, stop context.Context, n int, work Work) {
	var group errgroup.Group
	for range splitting {
		group.Go(func() error {
			for q.backlog.wait(stop, q.workers) == nil {
				q.next(stop, q.splitters, func(m jetstream.Msg) { q.split(ctx, m) })
			}
			return nil
		})
	}
	mirror.RunPlaces(stop, n, func(place *mirror.Place) bool {
		if q.gate.Wait(stop) == nil {
			q.next(stop, q.workers, func(m jetstream.Msg) { q.deliver(place.With(ctx), m, work) })
		}
		return stop.Err() == nil
	})
	_ = group.Wait()
}

// InFlight is how many snapshots are being worked on in this process.
func (q *Queue) InFlight() int64 { return q.inFlight.Load() }

// StoreWorks says whether the store took the last pictures that it was given.
func (q *Queue) StoreWorks() bool { return q.gate.Open() }

// SetStoreWorks tells what somebody has found out about the store. While it does not work, one snapshot at a time is tried.
func (q *Queue) SetStoreWorks(works bool) {
	if works {
		q.gate.Worked()
	} else {
		q.gate.Shut()
	}
}

const (
	pullWait  = 30 * time.Second
	pullPause = 500 * time.Millisecond
)

// next waits for one message. Each goroutine asks for the one that it is ready for, so that none lies waiting in this process
// while others are idle.
func (q *Queue) next(stop context.Context, c jetstream.Consumer, do func(jetstream.Msg)) {
	wait, cancel := context.WithTimeout(stop, pullWait)
	defer cancel()
	m, err := c.Next(jetstream.FetchContext(wait))
	if err == nil {
		do(m)
		return
	}
	if stop.Err() != nil || errors.Is(err, nats.ErrTimeout) || errors.Is(err, context.DeadlineExceeded) {
		return
	}
	q.log.Debug("asking the queue for work", "err", err)
	if errors.Is(err, jetstream.ErrConsumerDeleted) || errors.Is(err, nats.ErrNoResponders) {
		q.repair(stop)
	}
	select { // the server is away; the connection mends itself
	case <-time.After(pullPause):
	case <-stop.Done():
	}
}

// deliver has one snapshot worked on, and settles what becomes of its message.
func (q *Queue) deliver(ctx context.Context, m jetstream.Msg, work Work) {
	snapshots, err := decodeSnapshots(m.Data())
	if err == nil && len(snapshots) != 1 {
		err = errors.New("not one snapshot")
	}
	if err != nil {
		q.foreign(ctx, m, err)
		return
	}
	q.inFlight.Add(1)
	defer q.inFlight.Add(-1)
	stopBeat := keep(m)
	result, err := work(ctx, snapshots[0])
	stopBeat()
	if err != nil {
		q.giveBack(m)
		return
	}
	q.settle(ctx, m, result)
}

// keep tells the server now and then that the message is being worked on.
func keep(m jetstream.Msg) (stop func()) {
	ticker := time.NewTicker(beat)
	done := make(chan struct{})
	go func() {
		for {
			select {
			case <-ticker.C:
				_ = m.InProgress()
			case <-done:
				return
			}
		}
	}()
	return func() { ticker.Stop(); close(done) }
}

// done takes a message out of its stream. If that fails, it comes again: then its picture is there already.
func (q *Queue) done(ctx context.Context, m jetstream.Msg) bool {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTimeout)
	defer cancel()
	err := m.DoubleAck(ctx)
	if err != nil {
		q.log.Debug("taking a message out of the queue", "err", err)
	}
	return err == nil
}

// giveBack makes the message due at once, for another replica or the next start, and sees to it that the server knows: this
// process may be about to end. A negative acknowledgement with a delay is on the disk, one without is not.
func (q *Queue) giveBack(m jetstream.Msg) {
	ctx, cancel := context.WithTimeout(context.Background(), callTimeout)
	defer cancel()
	if _, err := q.conn.RequestWithContext(ctx, m.Reply(), []byte(`-NAK {"delay":1000000}`)); err != nil {
		q.log.Debug("giving a snapshot back to the queue", "err", err)
	}
}

// foreign takes out what this program has not written.
func (q *Queue) foreign(ctx context.Context, m jetstream.Msg, err error) {
	q.log.Error("a message in the queue is not snapshot-mirror's and is dropped", "subject", m.Subject(), "bytes", len(m.Data()), "err", err)
	q.done(ctx, m)
}
