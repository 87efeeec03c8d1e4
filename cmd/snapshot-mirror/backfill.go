package main

import (
	"context"
	"fmt"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

type backfillCommand struct {
	Events []string `arg:"" help:"Event files, directories of them, or - for standard input. NDJSON, JSON or arrays, also gzip or zstd."`
	config.Destination
	config.Source
	config.Backfill

	observe func(mirror.Result) // for demo; may be nil
}

// readAhead is how many snapshots are decoded before a worker is free for them: it keeps the total that progress shows honest,
// and bounds memory.
const readAhead = 4096

// Run does the whole batch and ends with one of the exit codes.
func (c *backfillCommand) Run(a *app) error {
	limit := newLogLimit(a)
	files := &intake.Files{Names: c.Events, Stdin: a.stdin, Malformed: limit.malformed, Announced: limit.announced}
	size, err := files.Size()
	if err != nil {
		return usageError(fmt.Errorf("reading events: %w", err), "name event files, directories, or - for standard input")
	}
	key, err := mirror.ParseKeyTemplate(c.KeyTemplate)
	if err != nil {
		return usageError(err, "mend --key-template")
	}
	outputs, err := openOutputs(a, c)
	if err != nil {
		return err
	}
	defer outputs.abandon()
	dest, closeDest, err := a.openDestination(c.Destination, c.Concurrency, c.DryRun)
	if err != nil {
		return err
	}
	defer func() { _ = closeDest() }()

	progress := c.newProgress(a, &files.Stats, size)
	defer progress.stop()
	worker, err := mirror.New(dest, mirror.Options{
		Key: key, Concurrency: c.Concurrency, MaxImageSize: int64(c.MaxImageSize), BytesInFlight: int64(c.BytesInFlight),
		SourceRetries: c.SourceRetries, IdleTimeout: c.IdleTimeout, AllowPrivateSources: c.AllowPrivateSources, DryRun: c.DryRun,
		UserAgent: "snapshot-mirror/" + version(), Log: a.log,
	})
	if err != nil {
		return usageError(err, "")
	}
	if err := outputs.begin(); err != nil {
		return err
	}
	sum := newSummary(&files.Stats)
	err = c.mirrorAll(a, files, worker, func(r mirror.Result) error {
		sum.add(r)
		progress.add(r)
		if c.observe != nil {
			c.observe(r)
		}
		return outputs.add(r)
	})
	interrupted := a.ctx.Err() != nil
	progress.stop()
	if err != nil && !interrupted {
		return err
	}
	if err := outputs.finish(interrupted); err != nil {
		return err
	}
	sum.print(c.summaryTo(a), c.To.String())
	switch {
	case interrupted:
		return interruptedError()
	case sum.failed() > 0 || files.Stats.Malformed.Load() > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// mirrorAll reads the files and mirrors what they announce, until both are done or a signal comes; what was begun is finished.
func (c *backfillCommand) mirrorAll(a *app, files *intake.Files, worker *mirror.Worker, sink func(mirror.Result) error) error {
	work := context.WithoutCancel(a.ctx)
	stop, cancel := context.WithCancel(a.ctx)
	defer cancel()
	told := context.AfterFunc(a.ctx, func() {
		a.log.Info("interrupted: finishing what is in flight; another signal quits at once")
	})
	defer told()
	snapshots := make(chan mirror.Snapshot, readAhead)
	read := make(chan error, 1)
	go func() {
		defer close(snapshots)
		read <- files.Read(stop, snapshots)
	}()
	if err := worker.Batch(work, stop, snapshots, sink); err != nil || stop.Err() != nil {
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

func (l *logLimit) announced(f vod.Failure) {
	if l.tell() {
		l.a.log.Info("announced as failed by VOD", "file_id", f.FileID, "time_offset", f.TimeOffset, "code", f.Code)
	}
}

// logInterval is how often progress is logged where there is no terminal.
const logInterval = 10 * time.Second
