package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/cmd/snapshot-mirror/internal/demo"
	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

type demoCommand struct {
	config.Destination
	Serve   bool   `help:"Keep serve running on pictures that never end, and show its status page, until a signal." group:"Demo"`
	DataDir string `help:"Directory of the queue of --serve. Default: a temporary one." placeholder:"DIR" group:"Demo"`
}

// Run starts an image origin, writes the events of its pictures, runs the real backfill on them, and tells what became of the
// pictures that it made trouble with. It fails unless everything went as it should.
func (c *demoCommand) Run(a *app) error {
	if c.Serve {
		return c.serve(a)
	}
	origin, err := demo.Start()
	if err != nil {
		return err
	}
	defer origin.Close()
	folder, err := os.MkdirTemp("", "snapshot-mirror-demo-")
	if err != nil {
		return fmt.Errorf("writing the events: %w", err)
	}
	defer os.RemoveAll(folder)
	events, err := origin.Events()
	if err != nil {
		return fmt.Errorf("writing the events: %w", err)
	}
	file := filepath.Join(folder, "events.ndjson")
	if err := os.WriteFile(file, events, 0o644); err != nil {
		return fmt.Errorf("writing the events: %w", err)
	}
	fmt.Fprintf(a.stdout, "An image origin with %d pictures runs at %s; three of them make trouble on purpose.\n", origin.Pictures, origin.URL)
	fmt.Fprintf(a.stdout, "Now running: snapshot-mirror backfill --allow-private-sources --to %s %s\n\n", c.To, file)

	results := map[string]mirror.Result{}
	backfill := backfillCommand{
		Events:      []string{file},
		Destination: c.Destination,
		Source: config.Source{
			Concurrency: mirror.DefaultConcurrency, MaxImageSize: mirror.DefaultMaxImageSize, BytesInFlight: mirror.DefaultBytesInFlight,
			SourceRetries: 2, IdleTimeout: 5 * time.Second, AllowPrivateSources: true,
		},
		Backfill: config.Backfill{Batch: config.Batch{Progress: "auto"}},
		observe: func(r mirror.Result) {
			results[r.Snapshot.FileID+"/"+r.Snapshot.TimeOffset.String()] = r
		},
	}
	err = backfill.Run(a)
	if e, ok := errors.AsType[*exitError](err); err != nil && (!ok || e.code != exitFailed) {
		return err
	}
	if err := tellTroubles(a, results); err != nil {
		return err
	}
	stored := 0
	for _, r := range results {
		if r.Outcome != mirror.Failed {
			stored++
		}
	}
	if want := origin.Pictures - 1; stored != want {
		return fmt.Errorf("the demo should end with %d pictures stored, not %d", want, stored)
	}
	fmt.Fprintf(a.stdout, "\n%d pictures are in %s, named FileId/TimeOffset. Run the demo again: they are skipped.\n", stored, c.To)
	return nil
}

// tellTroubles says in plain words what happened to each troublesome picture, and errs if that was not what should happen.
func tellTroubles(a *app, results map[string]mirror.Result) error {
	fmt.Fprintln(a.stdout, "\nThe troublesome pictures:")
	for _, trouble := range demo.Troubles {
		name := fmt.Sprintf("%s/%d", trouble.FileID, trouble.TimeOffset)
		r := results[name]
		var fate string
		switch {
		case r.Outcome == mirror.Skipped && trouble.Passes:
			fate = "stored by an earlier run, so it was skipped"
		case r.Outcome == mirror.Mirrored && trouble.Passes && r.Attempts == 2:
			fate = "fetched again, proven whole and stored at attempt 2"
		case r.Outcome == mirror.Failed && !trouble.Passes && r.Reason == mirror.SourceMissing:
			fate = fmt.Sprintf("nothing was stored; it failed with reason %s (%s)", r.Reason, r.Err)
		default:
			return fmt.Errorf("%s %s, and then came out as %q (%s) after %d attempts, which it should not", name, trouble.Story, r.Outcome, r.Reason, r.Attempts)
		}
		fmt.Fprintf(a.stdout, "  %s %s: %s.\n", name, trouble.Story, fate)
	}
	return nil
}
