package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
)

// input is where a backfill's snapshots come from: event files, or VOD itself.
type input struct {
	source[mirror.Snapshot]
	stats   *intake.Stats
	library bool // media are listed, no events read
	// settled is told what became of each snapshot.
	settled func(mirror.Result) error
	// unseen is in how many seconds there may be more media than VOD lists.
	unseen func() int64
	// close ends it. finished says that everything has been read and worked on.
	close func(finished bool) error
}

// source is [intake.Files], [intake.Library] or, of keys, [keys].
type source[T any] interface {
	// Read sends everything to out until all is sent or ctx ends, and closes nothing.
	Read(ctx context.Context, out chan<- T) error
	// Total is how many there are, as far as that is known, or -1. It can be called while Read runs.
	Total() (n int64, exact bool)
}

func (c *backfillCommand) openInput(a *app) (*input, error) {
	limit := newLogLimit(a)
	filter, err := newFilter(c.Choice)
	if err != nil {
		return nil, err
	}
	if c.FromVOD.FromVOD {
		return c.openLibrary(a, limit, filter)
	}
	return openFiles(a, c.Events, c.Shard, filter, limit)
}

// openFiles opens event files as input.
func openFiles(a *app, names []string, shard config.Shard, filter mirror.Filter, limit *logLimit) (*input, error) {
	files := &intake.Files{Names: names, Stdin: a.stdin, Take: shard.Takes, Filter: filter, Malformed: limit.malformed, Announced: limit.announced}
	if err := files.Measure(); err != nil {
		return nil, usageError(fmt.Errorf("reading events: %w", err), "name event files, directories, or - for standard input")
	}
	return &input{
		source: files, stats: &files.Stats, settled: func(mirror.Result) error { return nil }, unseen: func() int64 { return 0 },
		close: func(bool) error { return nil },
	}, nil
}

func (c *backfillCommand) openLibrary(a *app, limit *logLimit, filter mirror.Filter) (*input, error) {
	api, err := a.newAPI(c.VOD, c.VODRate)
	if err != nil {
		return nil, err
	}
	now := time.Now()
	library := &intake.Library{
		API: api, Since: c.Since.At(now), Until: c.Until.At(now), FileIDs: c.FileID, Take: c.Shard.Takes, Filter: filter, Malformed: limit.media, Log: a.log,
	}
	in := &input{
		source: library, stats: &library.Stats, library: true, settled: func(mirror.Result) error { return nil }, unseen: library.Unseen,
		close: func(bool) error { return nil },
	}
	if c.DryRun || len(c.FileID) > 0 || c.State == "off" { // nothing to go on with
		return in, nil
	}
	journal, err := intake.OpenJournal(c.State, c.describeRun())
	switch {
	case errors.Is(err, intake.ErrOtherRun):
		return nil, usageError(err, "name another file with --state for this run, or remove it to begin anew")
	case err != nil:
		return nil, usageError(err, "name a file in a directory that exists and can be written with --state, one for each run; off notes nothing")
	}
	if reached := journal.Reached(); !reached.IsZero() {
		a.log.Info("going on where an earlier run has ended", "state", c.State, "reached", reached.Format(time.RFC3339), "failed_media", len(journal.Failed()))
	}
	library.Journal, in.settled, in.close = journal, journal.Done, journal.Close
	return in, nil
}

// describeRun says what a state file is about: going on with it makes sense for the same work only.
func (c *backfillCommand) describeRun() string {
	to := c.To.String() + " " + c.KeyTemplate
	if c.Enqueue {
		to = "queue " + c.QueueName
	}
	if len(c.Include)+len(c.Exclude) > 0 {
		to += fmt.Sprintf(" include %q exclude %q", c.Include, c.Exclude)
	}
	return fmt.Sprintf("from %s application %d since %q until %q share %q to %s", c.VODEndpoint, c.VODSubAppID, c.Since, c.Until, c.Shard, to)
}
