package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// summary counts results by outcome and reason.
type summary struct {
	in       *input
	enqueue  bool // nothing is mirrored here
	begin    time.Time
	outcomes map[mirror.Outcome]int64
	reasons  map[mirror.Reason]int64
	bytes    int64
	repeated int64 // mirrored, but not at the first attempt
}

func newSummary(in *input, enqueue bool) *summary {
	return &summary{in: in, enqueue: enqueue, begin: time.Now(), outcomes: map[mirror.Outcome]int64{}, reasons: map[mirror.Reason]int64{}}
}

func (s *summary) add(r mirror.Result) {
	s.outcomes[r.Outcome]++
	s.bytes += r.Bytes
	switch {
	case r.Outcome == mirror.Failed:
		s.reasons[r.Reason]++
	case r.Attempts > 1:
		s.repeated++
	}
}

func (s *summary) failed() int64 { return s.outcomes[mirror.Failed] }

// summaryTo is where the summary goes, beside the lines of --json.
func summaryTo(a *app, b config.Batch) io.Writer {
	if b.JSON {
		return a.stderr
	}
	return a.stdout
}

// print writes what became of everything that was read. An error of standard output is not worth another exit code.
func (s *summary) print(w io.Writer, destination string) {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(what string, n int64, note string) { fmt.Fprintf(t, "%s\t%d\t%s\n", what, n, note) }
	elapsed := time.Since(s.begin)
	if s.enqueue {
		row("enqueued", s.outcomes[mirror.Enqueued], fmt.Sprintf("to %s in %s", destination, elapsed.Round(time.Millisecond)))
		s.in.print(row)
		_ = t.Flush()
		return
	}
	row("mirrored", s.outcomes[mirror.Mirrored], fmt.Sprintf("%s to %s in %s", humanize.IBytes(uint64(s.bytes)), destination, elapsed.Round(time.Millisecond)))
	if s.repeated > 0 {
		row("  after a retry", s.repeated, "")
	}
	row("skipped", s.outcomes[mirror.Skipped], "already there")
	if n := s.outcomes[mirror.WouldMirror]; n > 0 {
		row("would mirror", n, "dry run: nothing was fetched or stored")
	}
	row("failed", s.failed(), "")
	for _, info := range mirror.Reasons {
		if n := s.reasons[info.Reason]; n > 0 {
			row("  "+string(info.Reason), n, info.Meaning)
		}
	}
	s.in.print(row)
	_ = t.Flush()
}

// print writes what was read.
func (in *input) print(row func(what string, n int64, note string)) {
	if n := in.stats.OtherShares.Load(); n > 0 {
		row("left to other shares", n, "")
	}
	if n := in.stats.LeftOut.Load(); n > 0 {
		row("left out", n, "by --include and --exclude")
	}
	if n := in.stats.Announced.Load(); n > 0 {
		row("announced as failed by VOD", n, "there is no picture to fetch")
	}
	note := ""
	if n := in.stats.Foreign.Load(); n > 0 {
		note = fmt.Sprintf("%d of types that announce no snapshots", n)
	}
	what := "events"
	if in.library {
		what = "media"
		if note != "" {
			note = fmt.Sprintf("%d of them without snapshots", in.stats.Foreign.Load())
		}
	}
	row(what, in.stats.Events.Load(), note)
	if n := in.stats.Malformed.Load(); n > 0 {
		row("malformed", n, "pieces of input that were passed over")
	}
	if n := in.unseen(); n > 0 {
		row("seconds not listed whole", n, "VOD has more media of one second than it lists")
	}
}
