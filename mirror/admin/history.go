package admin

import (
	"sync"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

const (
	historyMinutes = 60
	latestPictures = 24
)

// History is what has become of snapshots in this process: counts of the last hour, by the minute, and the latest pictures. The
// zero value is empty. It is safe for concurrent use and takes no more memory with time.
type History struct {
	mu      sync.Mutex
	minute  int64 // of the last count, since 1970
	minutes [historyMinutes]tally
	latest  []stored // latest last
	serial  int64
}

// tally counts what became of tries.
type tally struct {
	Mirrored, Skipped, Failed int
	Bytes                     int64
}

// stored is a picture that has been mirrored.
type stored struct {
	mirror.Snapshot // without URL
	Key             string
	Bytes           int64
	At              time.Time
	Serial          int64 // counts all
}

// Add notes a result.
func (h *History) Add(r mirror.Result) {
	h.mu.Lock()
	defer h.mu.Unlock()
	now := time.Now()
	h.advance(now)
	t := &h.minutes[h.minute%historyMinutes]
	switch r.Outcome {
	case mirror.Mirrored:
		t.Mirrored++
		t.Bytes += r.Bytes
		h.keep(r, now)
	case mirror.Skipped:
		t.Skipped++
	case mirror.Failed:
		t.Failed++
	}
}

// keep puts a picture in front; one that was replaced is shown once.
func (h *History) keep(r mirror.Result, now time.Time) {
	h.serial++
	s := stored{r.Snapshot, r.Key, r.Bytes, now, h.serial}
	s.URL = ""
	for i := range h.latest {
		if h.latest[i].Key == s.Key {
			h.latest = append(h.latest[:i], h.latest[i+1:]...)
			break
		}
	}
	if len(h.latest) == latestPictures {
		copy(h.latest, h.latest[1:])
		h.latest = h.latest[:latestPictures-1]
	}
	h.latest = append(h.latest, s)
}

// advance clears the minutes that have begun since the last look. A clock that is set back changes nothing.
func (h *History) advance(now time.Time) {
	minute := now.Unix() / 60
	for m := max(h.minute+1, minute-historyMinutes+1); m <= minute; m++ {
		h.minutes[m%historyMinutes] = tally{}
	}
	h.minute = max(h.minute, minute)
}

// look gives the minutes, the running one last, and the latest pictures, the latest first.
func (h *History) look() (minutes []tally, latest []stored) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.advance(time.Now())
	for i := range int64(historyMinutes) {
		minutes = append(minutes, h.minutes[(h.minute+1+i)%historyMinutes])
	}
	for i := range h.latest {
		latest = append(latest, h.latest[len(h.latest)-1-i])
	}
	return minutes, latest
}
