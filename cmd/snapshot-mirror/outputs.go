package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/google/renameio/v2"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// outputs are what a batch writes for each snapshot: the report, the failed ones, lines on standard output.
type outputs struct {
	lines  []io.Writer // that get a line for each snapshot
	report *os.File    // nil without --report
	// failed replaces its file only in the end, so that the file may be the input too: run again what failed, and keep what
	// fails again.
	failed        *renameio.PendingFile // nil without --failed
	failedIsInput bool
}

// openOutputs opens them; failed may be "", and events are what is read.
func openOutputs(a *app, b config.Batch, failed string, events []string) (_ *outputs, err error) {
	o := &outputs{}
	defer func() {
		if err != nil {
			o.abandon()
		}
	}()
	const hint = "name a file in a directory that exists and can be written"
	if b.JSON {
		o.lines = append(o.lines, a.stdout)
	}
	if b.Report != "" {
		if isInput(b.Report, events) {
			return nil, usageError(fmt.Errorf("--report %s is one of the event files and would overwrite it", b.Report), "name another file")
		}
		// Emptied only in begin, when it is sure that there will be another.
		if o.report, err = os.OpenFile(b.Report, os.O_WRONLY|os.O_CREATE, 0o644); err != nil {
			return nil, usageError(fmt.Errorf("opening --report: %w", err), hint)
		}
		o.lines = append(o.lines, o.report)
	}
	if failed != "" {
		o.failedIsInput = isInput(failed, events)
		if info, err := os.Stat(failed); err == nil && !info.Mode().IsRegular() {
			return nil, usageError(fmt.Errorf("--failed %s is not a regular file", failed), hint)
		}
		// Only for the owner: the URLs of failed snapshots keep their queries, or they could not be fetched again.
		if o.failed, err = renameio.NewPendingFile(failed, renameio.WithPermissions(0o600)); err != nil {
			return nil, usageError(fmt.Errorf("opening --failed: %w", err), hint)
		}
	}
	return o, nil
}

func isInput(name string, events []string) bool {
	info, err := os.Stat(name)
	if err != nil {
		return false
	}
	for _, event := range events {
		if other, err := os.Stat(event); err == nil && event != intake.Stdin && os.SameFile(info, other) {
			return true
		}
	}
	return false
}

// begin is called when everything that can be checked beforehand is in order.
func (o *outputs) begin() error {
	if o.report == nil {
		return nil
	}
	if info, err := o.report.Stat(); err != nil || !info.Mode().IsRegular() {
		return err // a pipe or device has nothing to be emptied
	}
	return o.report.Truncate(0)
}

// add writes the result everywhere. Each line is written whole, so that a reader of a running backfill sees whole lines.
func (o *outputs) add(r mirror.Result) error {
	if len(o.lines) > 0 {
		line, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("writing the report: %w", err)
		}
		line = append(line, '\n')
		for _, w := range o.lines {
			if _, err := w.Write(line); err != nil {
				return fmt.Errorf("writing the report: %w", err)
			}
		}
	}
	if o.failed == nil || r.Outcome != mirror.Failed {
		return nil
	}
	event, err := vod.Encode(r.Snapshot)
	if err != nil {
		return fmt.Errorf("writing --failed: %w", err)
	}
	if _, err := o.failed.Write(append(event, '\n')); err != nil {
		return fmt.Errorf("writing --failed: %w", err)
	}
	return nil
}

// finish makes everything durable. A run that was cut short leaves a --failed file alone that was its input: it names snapshots
// that were not tried.
func (o *outputs) finish(cut bool) error {
	var errs []error
	if o.report != nil {
		if err := o.report.Sync(); err != nil && !errors.Is(err, fs.ErrInvalid) && !isDevice(o.report) {
			errs = append(errs, fmt.Errorf("writing the report: %w", err))
		}
		errs = append(errs, o.report.Close())
		o.report = nil
	}
	if o.failed != nil && !(cut && o.failedIsInput) {
		if err := o.failed.CloseAtomicallyReplace(); err != nil {
			errs = append(errs, fmt.Errorf("writing --failed: %w", err))
		}
		o.failed = nil
	}
	return errors.Join(errs...)
}

// isDevice says whether f is something that can't be synced: a pipe, a terminal.
func isDevice(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && !info.Mode().IsRegular()
}

// abandon drops what finish has not finished.
func (o *outputs) abandon() {
	if o.report != nil {
		_ = o.report.Close()
	}
	if o.failed != nil {
		_ = o.failed.Cleanup()
	}
}
