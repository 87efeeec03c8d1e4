package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"text/tabwriter"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

type verifyCommand struct {
	Events []string `arg:"" optional:"" help:"Event files, directories of them, or - for standard input, as backfill reads them."`
	config.Destination
	config.Source
	config.Choice
	config.Batch
	config.Verify
}

// Validate is called when all settings are read.
func (c *verifyCommand) Validate() error {
	events, listed := len(c.Events) > 0, c.Prefix != "" || c.All
	switch {
	case !events && !listed:
		return errors.New("nothing to verify: name event files, directories, or - for standard input, or a --prefix of what is there, or --all of it")
	case events && listed:
		return errors.New("events exclude --prefix and --all")
	case c.Prefix != "" && c.All:
		return errors.New("--prefix and --all exclude each other")
	case !events && c.Repair:
		return errors.New("--repair wants events: an object alone does not say what should be in its place")
	case !events && c.Shard.String() != "":
		return errors.New("--shard wants events; parts of what is there are named with --prefix")
	}
	if err := store.CheckKey(c.Prefix + "x"); err != nil {
		return fmt.Errorf("no key begins with --prefix %q: %w", c.Prefix, err)
	}
	return errors.Join(c.Source.Validate(), c.Batch.Validate())
}

// Run looks at everything and ends with one of the exit codes.
func (c *verifyCommand) Run(a *app) error {
	var in *input
	if len(c.Events) > 0 {
		filter, err := newFilter(c.Choice)
		if err != nil {
			return err
		}
		if in, err = openFiles(a, c.Events, c.Shard, filter, newLogLimit(a)); err != nil {
			return err
		}
	}
	outputs, err := openOutputs(a, c.Batch, "", c.Events)
	if err != nil {
		return err
	}
	defer outputs.abandon()
	dest, closeDest, err := a.openDestination(c.Destination, c.Concurrency, !c.Repair)
	if err != nil {
		return err
	}
	defer func() { _ = closeDest() }()
	worker, err := a.newWorker(dest, c.Destination, c.Source, mirror.Options{StorePatience: c.StorePatience})
	if err != nil {
		return err
	}
	verifier := mirror.NewVerifier(worker, dest, mirror.VerifyOptions{Read: c.Read, Source: c.Verify.Source, Repair: c.Repair})
	if in == nil {
		return verifyAll(a, c, &keys{pictures: dest, prefix: c.Prefix}, verifier.BatchKeys, nil, outputs)
	}
	return verifyAll(a, c, in.source, verifier.Batch, in, outputs)
}

// verifyAll goes through what comes from a source. in is what the summary tells of; nil where there are no events.
func verifyAll[T any](a *app, c *verifyCommand, from source[T], do batch[T], in *input, outputs *outputs) error {
	progress := newProgress(a, c.Progress, from.Total)
	defer progress.stop()
	if err := outputs.begin(); err != nil {
		return err
	}
	sum := &verified{in: in, begin: time.Now(), found: map[mirror.Finding]int64{}, outcomes: map[mirror.Outcome]int64{}, reasons: map[mirror.Reason]int64{}}
	err := readAll(a, from, do, func(r mirror.Result) error {
		sum.add(r)
		progress.add(r)
		return outputs.add(r)
	})
	interrupted := a.ctx.Err() != nil
	progress.stop()
	if interrupted {
		err = nil
	}
	if stopped, early := errors.AsType[*mirror.Stopped](err); early {
		err = stoppedError(stopped, progress, "run the same command again")
	}
	err = errors.Join(err, outputs.finish(err != nil || interrupted))
	if err == nil && !interrupted && in == nil && len(sum.outcomes) == 0 { // a slip of the pen must not pass for good news
		return &exitError{exitFailed, fmt.Errorf("there are no objects to verify in %s", c.To), "check --to and --prefix"}
	}
	sum.print(a, c)
	switch {
	case err != nil:
		return err
	case interrupted:
		return &exitError{exitInterrupted, errors.New("interrupted"), "run the same command again: it begins anew"}
	case sum.outcomes[mirror.Wrong] > 0 || sum.outcomes[mirror.Failed] > 0 || in != nil && in.stats.Malformed.Load() > 0:
		return &exitError{code: exitFailed}
	}
	return nil
}

// keys lists what is in the destination.
type keys struct {
	pictures admin.Pictures
	prefix   string
	sent     atomic.Int64
	listed   atomic.Bool // all of it
}

// keysPart is how many keys are asked for at once. A directory is gone through anew for each part.
const keysPart = 10_000

// Read implements source.
func (k *keys) Read(ctx context.Context, out chan<- string) error {
	for after := ""; ; {
		part, err := k.pictures.List(ctx, k.prefix, after, keysPart)
		if err != nil {
			return err
		}
		for _, e := range part {
			select {
			case out <- e.Key:
				k.sent.Add(1)
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		if len(part) < keysPart {
			k.listed.Store(true)
			return nil
		}
		after = part[len(part)-1].Key
	}
}

// Total implements source.
func (k *keys) Total() (n int64, exact bool) {
	if k.listed.Load() {
		return k.sent.Load(), true
	}
	return -1, false
}

// verified counts results of a verification.
type verified struct {
	in       *input // nil without events
	begin    time.Time
	found    map[mirror.Finding]int64
	outcomes map[mirror.Outcome]int64
	reasons  map[mirror.Reason]int64
}

func (s *verified) add(r mirror.Result) {
	s.outcomes[r.Outcome]++
	if r.Found != "" {
		s.found[r.Found]++
	}
	if r.Outcome == mirror.Failed {
		s.reasons[r.Reason]++
	}
}

// print writes what was found, and what was done about it.
func (s *verified) print(a *app, c *verifyCommand) {
	t := tabwriter.NewWriter(summaryTo(a, c.Batch), 0, 0, 2, ' ', 0)
	row := func(what string, n int64, note string) { fmt.Fprintf(t, "%s\t%d\t%s\n", what, n, note) }
	row("right", s.outcomes[mirror.Right], fmt.Sprintf("in %s, in %s", c.To, time.Since(s.begin).Round(time.Millisecond)))
	var wrong int64
	for _, info := range mirror.Findings {
		if !info.Right() {
			wrong += s.found[info.Finding]
		}
	}
	if n := s.found[mirror.Unrecorded]; n > 0 {
		row("  unrecorded", n, mirror.Unrecorded.Info().Meaning)
	}
	row("wrong", wrong, "")
	for _, info := range mirror.Findings {
		if n := s.found[info.Finding]; n > 0 && !info.Right() {
			row("  "+string(info.Finding), n, info.Meaning)
		}
	}
	if c.Repair {
		row("repaired", s.outcomes[mirror.Mirrored]+s.outcomes[mirror.Skipped], "mirrored again and proven whole")
	}
	if n := s.outcomes[mirror.Failed]; n > 0 {
		row("failed", n, "could not be looked at, or not be repaired")
	}
	for _, info := range mirror.Reasons {
		if n := s.reasons[info.Reason]; n > 0 {
			row("  "+string(info.Reason), n, info.Meaning)
		}
	}
	if s.in != nil {
		s.in.print(row)
	}
	_ = t.Flush()
}
