package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// enqueue hands the snapshots to a queue: that at --nats, or that of the serve at --admin-url. The caller calls end.
func (c *backfillCommand) enqueue(a *app) (_ batch[mirror.Snapshot], end func(), _ error) {
	add, end := func(ctx context.Context, part []mirror.Snapshot) error { return addThroughAdmin(a, c.AdminURL, part) }, func() {}
	if c.NATS.NATS != "" {
		q, err := a.openExternalQueue(c.NATS, queue.Options{Name: c.QueueName, Replicas: c.NATSReplicas, Log: a.log})
		if err != nil {
			return nil, nil, err
		}
		add, end = q.Add, q.Close
	}
	return func(ctx, stop context.Context, source <-chan mirror.Snapshot, sink func(mirror.Result) error) error {
		return enqueueAll(ctx, stop, source, add, sink)
	}, end, nil
}

const (
	enqueuePart  = 100 // as many as one message of the queue takes
	enqueueTries = 5
	enqueuePause = time.Second // after the first try; it doubles
)

func enqueueAll(ctx, stop context.Context, source <-chan mirror.Snapshot, add func(context.Context, []mirror.Snapshot) error, sink func(mirror.Result) error) error {
	part := make([]mirror.Snapshot, 0, enqueuePart)
	flush := func() error {
		begin := time.Now()
		if err := addPatiently(ctx, stop, part, add); err != nil {
			return err
		}
		for _, s := range part {
			if err := sink(mirror.Result{Snapshot: s, Outcome: mirror.Enqueued, Elapsed: time.Since(begin)}); err != nil {
				return err
			}
		}
		part = part[:0]
		return nil
	}
	for {
		select {
		case <-stop.Done():
			return flush()
		case s, ok := <-source:
			if !ok {
				return flush()
			}
			if part = append(part, s); len(part) == enqueuePart {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
}

// addPatiently tries a few times: the queue may be full, or its leader changing.
func addPatiently(ctx, stop context.Context, part []mirror.Snapshot, add func(context.Context, []mirror.Snapshot) error) error {
	if len(part) == 0 {
		return nil
	}
	pause := enqueuePause
	for try := 1; ; try++ {
		err := add(ctx, part)
		if err == nil {
			return nil
		}
		if try == enqueueTries || stop.Err() != nil || !passes(err) {
			return &exitError{exitCannotRun, fmt.Errorf("handing snapshots to the queue: %w", err), hintFrom(err, "run the same command again: what is queued already is not queued twice")}
		}
		select {
		case <-time.After(pause):
		case <-stop.Done():
		}
		pause *= 2
	}
}

// passes says whether the same may work soon.
func passes(err error) bool {
	if refused, ok := errors.AsType[*statusError](err); ok {
		return refused.status == http.StatusServiceUnavailable
	}
	_, nobody := errors.AsType[*exitError](err)
	return !nobody
}

func addThroughAdmin(a *app, base string, part []mirror.Snapshot) error {
	var body bytes.Buffer
	for len(part) > 0 {
		n := 1 // as many as make one event: each is a sync of the disk there
		for n < len(part) && sameEvent(part[0], part[n]) {
			n++
		}
		line, err := vod.Encode(part[0], part[1:n]...)
		if err != nil {
			return err
		}
		body.Write(append(line, '\n'))
		part = part[n:]
	}
	resp, err := askAdmin(a, base, http.MethodPost, admin.PathEvents, nil, &body)
	if err != nil {
		return err
	}
	return resp.Body.Close()
}

func sameEvent(a, b mirror.Snapshot) bool {
	return a.FileID == b.FileID && a.TaskID == b.TaskID && a.Definition == b.Definition
}

// hintFrom is the hint that err has, or another.
func hintFrom(err error, other string) string {
	if e, ok := errors.AsType[*exitError](err); ok && e.hint != "" {
		return e.hint
	}
	return other
}
