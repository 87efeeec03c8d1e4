package intake

import (
	"log/slog"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// printable clips a stranger's text to n bytes and takes what could forge a line of a log, or play with a terminal, out of it.
func printable(s string, n int) string {
	clipped := len(s) > n
	if clipped {
		s = s[:n]
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
	if clipped {
		s += "…"
	}
	return s
}

// logAnnounced tells of a picture that VOD could not make.
func logAnnounced(log *slog.Logger, f vod.Failure, unlogged int) {
	log.Info("announced as failed by VOD", "file_id", printable(f.FileID, 256), "time_offset", printable(f.TimeOffset, 40), "code", f.Code,
		"unlogged", unlogged)
}

// limit keeps strangers from filling the log: burst lines at once, and one more each interval.
type limit struct {
	every time.Duration
	burst int

	mu   sync.Mutex
	owed time.Time // when all lines of the burst can be written again
	held int
}

// allow says whether a line may be written, and how many were not since the last one.
func (l *limit) allow(now time.Time) (held int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.owed.Before(now) {
		l.owed = now
	}
	if l.owed.Sub(now) > time.Duration(l.burst-1)*l.every {
		l.held++
		return 0, false
	}
	l.owed = l.owed.Add(l.every)
	held, l.held = l.held, 0
	return held, true
}
