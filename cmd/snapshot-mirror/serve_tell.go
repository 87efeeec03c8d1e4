package main

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
)

// tellServing logs that it has begun, and with what.
func (s *serving) tellServing(q *queue.Queue, callback, admin *listener) {
	where := s.c.DataDir
	if s.c.Queue.NATS.NATS != "" {
		where = "NATS"
	}
	address := "off"
	if !s.c.Callback.Off() {
		address = "http://" + callback.address + s.c.CallbackPath
	}
	args := []any{"callback", address, "pull", s.c.Pull.Pull, "admin", "http://" + admin.address, "to", s.c.To.String(), "queue", where}
	ctx, cancel := context.WithTimeout(s.a.ctx, 5*time.Second)
	defer cancel()
	if state, err := q.State(ctx); err == nil {
		args = append(args, queued(state)...)
	}
	s.a.log.Info("serving", args...)
	if err := q.Ready(ctx); err != nil && s.a.ctx.Err() == nil {
		s.a.log.Warn("events can't be accepted now", "err", err)
	}
}

// counts are what has become of snapshots so far, each time that one was tried.
type counts struct{ mirrored, skipped, failed atomic.Int64 }

func (s *serving) counted(work queue.Work) queue.Work {
	return func(ctx context.Context, snapshot mirror.Snapshot) (mirror.Result, error) {
		r, err := work(ctx, snapshot)
		if err == nil {
			s.history.Add(r)
		}
		switch {
		case err != nil: // interrupted
		case r.Outcome == mirror.Mirrored:
			s.counts.mirrored.Add(1)
		case r.Outcome == mirror.Skipped:
			s.counts.skipped.Add(1)
		case r.Outcome == mirror.Failed:
			s.counts.failed.Add(1)
		}
		return r, err
	}
}

// progressLook is how soon the log tells that work has begun, progressPause how often it tells of work that goes on.
const (
	progressLook  = 5 * time.Second
	progressPause = time.Minute
)

// tellProgress logs how the work goes on, and nothing while there is none.
func (s *serving) tellProgress(q *queue.Queue) {
	var mirrored, skipped, failed int64
	var last time.Time
	for {
		select {
		case <-time.After(progressLook):
		case <-s.a.ctx.Done():
			return
		}
		m, k, f := s.counts.mirrored.Load(), s.counts.skipped.Load(), s.counts.failed.Load()
		if m+k+f == mirrored+skipped+failed || time.Since(last) < progressPause {
			continue
		}
		args := []any{"mirrored", m - mirrored, "skipped", k - skipped, "failed_tries", f - failed}
		mirrored, skipped, failed, last = m, k, f, time.Now()
		if state, err := q.State(s.a.ctx); err == nil {
			args = append(args, queued(state)...)
		}
		s.a.log.Info("progress since the last such line", args...)
	}
}

// queued tells of the queue in the words of its metrics.
func queued(s queue.State) []any {
	return []any{"events", s.Events, "ready", s.Ready, "delayed", s.Delayed, "dead", s.Dead}
}
