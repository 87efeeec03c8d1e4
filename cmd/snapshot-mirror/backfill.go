package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

type backfillCommand struct {
	Events []string `arg:"" optional:"" help:"Event files, directories of them, or - for standard input. NDJSON, JSON or arrays, also gzip or zstd."`
	config.Destination
	config.Source
	config.Choice
	config.Backfill
	config.VOD
	config.FromVOD
	config.NATS
	config.Admin

	observe func(mirror.Result) // for demo; may be nil
}

// Validate is called when all settings are read.
func (c *backfillCommand) Validate() error {
	switch {
	case len(c.Events) == 0 && !c.FromVOD.FromVOD:
		return errors.New("no events: name event files, directories, or - for standard input, or ask VOD with --from-vod")
	case len(c.Events) > 0 && c.FromVOD.FromVOD:
		return errors.New("--from-vod and event files exclude each other")
	}
	return errors.Join(c.Source.Validate(), c.Backfill.Validate(), c.FromVOD.Validate(), c.NATS.Validate())
}

// readAhead is how many snapshots are decoded before a worker is free for them: it keeps the total that progress shows honest,
// and bounds memory.
const readAhead = 4096

// Run does the whole batch and ends with one of the exit codes.
func (c *backfillCommand) Run(a *app) error {
	in, err := c.openInput(a)
	if err != nil {
		return err
	}
	complete := false
	defer func() { _ = in.close(complete) }()
	outputs, err := openOutputs(a, c.Batch, c.Failed, c.Events)
	if err != nil {
		return err
	}
	defer outputs.abandon()
	begin := c.mirrorHere
	if c.Enqueue {
		begin = c.enqueue
	}
	work, end, err := begin(a)
	if err != nil {
		return err
	}
	defer end()

	progress := newProgress(a, c.Progress, in.Total)
	defer progress.stop()
	if err := outputs.begin(); err != nil {
		return err
	}
	sum := newSummary(in, c.Enqueue)
	err = readAll(a, in.source, work, func(r mirror.Result) error {
		sum.add(r)
		progress.add(r)
		if c.observe != nil {
			c.observe(r)
		}
		if err := outputs.add(r); err != nil {
			return err
		}
		return in.settled(r)
	})
	interrupted := a.ctx.Err() != nil
	progress.stop()
	if interrupted {
		err = nil
	}
	complete = err == nil && !interrupted
	if stopped, early := errors.AsType[*mirror.Stopped](err); early {
		err = stoppedError(stopped, progress, againHint)
	}
	// What was done is told, whatever has ended it.
	err = errors.Join(err, outputs.finish(!complete))
	destination := c.To.String()
	if c.Enqueue {
		destination = "the queue"
	}
	sum.print(summaryTo(a, c.Batch), destination)
	switch {
	case err != nil:
		return err
	case interrupted:
		return interruptedError()
	case sum.failed() > 0 || in.stats.Malformed.Load() > 0 || in.unseen() > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// stoppedError ends a run whose destination stayed away or refused everything: nothing of the rest was tried.
func stoppedError(stopped *mirror.Stopped, p *progress, hint string) error {
	left := "the rest of the input was"
	if total, exact := p.total(); exact {
		left = fmt.Sprintf("%d snapshots were", total-p.done.Load())
	} else if total >= 0 {
		left = fmt.Sprintf("about %d snapshots were", total-p.done.Load())
	}
	if first := hintOf(stopped); first != "" {
		hint = first + "; then " + hint
	}
	return &exitError{exitCannotRun, fmt.Errorf("%w; %s not tried", stopped, left), hint}
}

// batch takes what comes from source until it is closed, or until stop is done and what was begun is finished, and hands the
// results to sink. [mirror.Worker.Batch] is one.
type batch[T any] func(ctx, stop context.Context, source <-chan T, sink func(mirror.Result) error) error

// mirrorHere is the ordinary way: a worker of this process. The caller calls end.
func (c *backfillCommand) mirrorHere(a *app) (_ batch[mirror.Snapshot], end func(), _ error) {
	dest, closeDest, err := a.openDestination(c.Destination, c.Concurrency, c.DryRun)
	if err != nil {
		return nil, nil, err
	}
	worker, err := a.newWorker(dest, c.Destination, c.Source, mirror.Options{DryRun: c.DryRun, StorePatience: c.StorePatience})
	if err != nil {
		_ = closeDest()
		return nil, nil, err
	}
	return worker.Batch, func() { _ = closeDest() }, nil
}

// readAll reads the input and has what it announces worked on, until both are done or a signal comes; what was begun is finished.
func readAll[T any](a *app, from source[T], do batch[T], sink func(mirror.Result) error) error {
	work := context.WithoutCancel(a.ctx)
	stop, cancel := context.WithCancel(a.ctx)
	defer cancel()
	told := context.AfterFunc(a.ctx, func() {
		a.log.Info("interrupted: finishing what is in flight; another signal quits at once")
	})
	defer told()
	snapshots := make(chan T, readAhead)
	read := make(chan error, 1)
	go func() {
		defer close(snapshots)
		read <- from.Read(stop, snapshots)
	}()
	if err := do(work, stop, snapshots, sink); err != nil || stop.Err() != nil {
		return err // the reader may be waiting for standard input, which no context ends
	}
	return <-read
}

// logLimit keeps a garbage file from filling the log: everything is counted, the first of it is told.
type logLimit struct {
	a *app
	n int
}

const maxTold = 100

func newLogLimit(a *app) *logLimit { return &logLimit{a: a} }

func (l *logLimit) tell() bool {
	l.n++
	if l.n == maxTold+1 {
		l.a.log.Warn("more malformed or failed items follow, which are only counted", "told", maxTold)
	}
	return l.n <= maxTold
}

func (l *logLimit) malformed(file string, line int, err error) {
	if l.tell() {
		l.a.log.Warn("malformed input passed over", "file", file, "line", line, "err", err)
	}
}

func (l *logLimit) media(fileID string, err error) {
	if l.tell() {
		l.a.log.Warn("media passed over", "file_id", fileID, "err", err)
	}
}

func (l *logLimit) announced(f vod.Failure) {
	if l.tell() {
		l.a.log.Info("announced as failed by VOD", "file_id", f.FileID, "time_offset", f.TimeOffset, "code", f.Code)
	}
}

// logInterval is how often progress is logged where there is no terminal.
const logInterval = 10 * time.Second
