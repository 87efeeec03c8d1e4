package admin

import (
	"context"
	"errors"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Bounds of what the page reads and shows of the dead letters. The API and `failed list` have all of them.
const (
	deadScanned = 20_000
	deadTimeout = 2 * time.Second
	deadShown   = 100 // of a reason
)

// census is what the page tells of the dead letters: a number for each reason and the oldest ones.
type census struct {
	Groups []group // in the order of mirror.Reasons, without those that nobody has
	Count  int
	// AtLeast says that there are more than were counted.
	AtLeast bool
	Err     string
}

// group are the dead letters of one reason.
type group struct {
	Reason          mirror.Reason
	Meaning, Advice string
	Count           int
	AtLeast         bool
	Rows            []row
}

// row is a dead letter as it is shown.
type row struct {
	ID         string
	FileID     string
	Offset     string
	Definition int64
	TaskID     string
	URL        string // without its query
	Error      string
	Attempts   int
	First      time.Time
	Last       time.Time
}

func newRow(l mirror.Letter) row {
	return row{
		l.ID, l.FileID, offset(l.TimeOffset), l.Definition, show(l.TaskID), showURL(l.URL), show(l.Error), l.Attempts, l.First, l.Last,
	}
}

var errEnough = errors.New("enough")

// takeCensus reads the letters that a filter chooses, oldest first, as far as the bounds allow.
func takeCensus(ctx context.Context, letters Letters, f mirror.LetterFilter) census {
	if letters == nil {
		return census{Err: "the queue is being opened"}
	}
	ctx, cancel := context.WithTimeout(ctx, deadTimeout)
	defer cancel()
	var c census
	groups := map[mirror.Reason]*group{}
	err := letters.Dead(ctx, f, func(l mirror.Letter) error {
		if c.Count == deadScanned {
			return errEnough
		}
		c.Count++
		g := groups[l.Reason]
		if g == nil {
			g = &group{Reason: l.Reason}
			groups[l.Reason] = g
		}
		if g.Count++; len(g.Rows) < deadShown {
			g.Rows = append(g.Rows, newRow(l))
		}
		return nil
	})
	switch {
	case err == nil:
	case errors.Is(err, errEnough), ctx.Err() != nil:
		c.AtLeast = true
	default:
		return census{Err: show(err.Error())}
	}
	for _, info := range mirror.Reasons {
		if g := groups[info.Reason]; g != nil {
			g.Meaning, g.Advice, g.AtLeast = info.Meaning, advice[info.Reason], c.AtLeast
			c.Groups = append(c.Groups, *g)
		}
	}
	return c
}

// Rows are those of all reasons.
func (c census) Rows() (rows []row) {
	for _, g := range c.Groups {
		rows = append(rows, g.Rows...)
	}
	return rows
}

// group gives that of a reason.
func (c census) group(r mirror.Reason) group {
	for _, g := range c.Groups {
		if g.Reason == r {
			return g
		}
	}
	return group{Reason: r, Meaning: r.Info().Meaning, Advice: advice[r]}
}

// advice is what an operator can do about each reason.
var advice = map[mirror.Reason]string{
	mirror.SourceMissing:     "Open the video in VOD. If the picture is there now, retry; if the video was deleted, discard.",
	mirror.SourceDenied:      "Set what the domain asks for (--source-referer, --hotlink-key, --source-header) or allow this machine's address there, restart, and retry all.",
	mirror.SourceBusy:        "Look whether the origin is well again, then retry. If it happens under load, lower --concurrency.",
	mirror.SourceUnreachable: "Check DNS and the network from this machine to the host, and whether the domain still exists (--source-rewrite names another). Then retry.",
	mirror.SourceBlocked:     "If the host is yours, allow it with --source-host or --allow-private-sources, restart, and retry. If it is not, somebody sends you events that VOD did not: discard, and see who may post.",
	mirror.Incomplete:        "Retry. If it stays, something between here and the origin cuts or changes pictures: look at proxies, and at the picture in a browser.",
	mirror.NotAnImage:        "Open the address in a browser: a page there tells what is wrong. Mend that, then retry.",
	mirror.TooLarge:          "Raise --max-image-size if such pictures are wanted, restart, and retry. Otherwise discard.",
	mirror.BadSnapshot:       "Nothing helps this event. Discard it, and see who sends such events if there are many.",
	mirror.KeyConflict:       "Add {definition} to --key-template, restart, and retry all: each template's pictures then have keys of their own.",
	mirror.StoreDenied:       "Mend credentials, permissions or the bucket's name (snapshot-mirror check tells which), then retry all.",
	mirror.StoreUnavailable:  "Wait for the destination to be well, or make room there, then retry all.",
	mirror.StoreRejected:     "Read what the destination says of the object. Change --key-template if it is the key; otherwise discard.",
}
