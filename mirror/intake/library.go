package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync/atomic"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// Library reads the snapshots that VOD has now, as its API lists them, in the order in which their media were created.
//
// A search reaches no further than its first 5,000 results, so each page is asked for by the time at which the one before ended,
// which media that are deleted meanwhile can't shift either. Only media of one and the same second need offsets; they are read
// from both ends, which reaches 10,000.
type Library struct {
	API *vod.API
	// Since and Until bound the time of creation, both inclusive. Zero times are the beginning of VOD and now.
	Since, Until time.Time
	// FileIDs are the only media wanted; empty is all of the time.
	FileIDs []string
	// Take says whether the snapshots of a file id are wanted; nil wants all.
	Take func(fileID string) bool
	// Filter says which snapshots are wanted; of other shares, none is asked about.
	Filter mirror.Filter
	// Journal notes how far the work is; nil notes nothing. Since is then where it begins if nothing is noted.
	Journal *Journal
	// Malformed is told of media that can't be used, by file id.
	Malformed func(fileID string, err error)
	Log       *slog.Logger
	Stats     Stats

	decoder *decoder
	media   atomic.Int64 // that were counted
	exact   atomic.Bool  // all of them have been
	read    atomic.Bool  // and read
	unseen  atomic.Int64 // seconds in which there may be more media than VOD lists
}

// vodBegan is before any of VOD's media.
var vodBegan = time.Date(2012, 1, 1, 0, 0, 0, 0, time.UTC)

// pageSize keeps an answer in the order of a megabyte: a media may have hundreds of snapshots.
const pageSize = 100

// Read sends every snapshot to out until all are sent or ctx ends. It closes nothing. An error is the context's, or VOD's when it
// did not get over a failure for some minutes.
func (l *Library) Read(ctx context.Context, out chan<- mirror.Snapshot) error {
	err := l.readAll(ctx, out)
	l.read.Store(err == nil)
	return err
}

func (l *Library) readAll(ctx context.Context, out chan<- mirror.Snapshot) error {
	l.decoder = newDecoder()
	if l.Until.IsZero() {
		l.Until = time.Now()
	}
	if l.Since.Before(vodBegan) {
		l.Since = vodBegan
	}
	l.Since, l.Until = l.Since.UTC().Truncate(time.Second), l.Until.UTC().Truncate(time.Second)
	if len(l.FileIDs) > 0 {
		l.media.Add(int64(len(l.FileIDs)))
		l.exact.Store(true)
		return l.describe(ctx, out, l.FileIDs)
	}
	if l.Journal != nil {
		if reached := l.Journal.Reached(); reached.After(l.Since) {
			l.Since = reached
		}
	}
	counting, stop := context.WithCancel(ctx)
	counted := make(chan struct{})
	go func() {
		defer close(counted)
		l.count(counting)
	}()
	defer func() { stop(); <-counted }()
	if l.Journal != nil {
		failed := l.Journal.Failed() // their time may be passed already
		l.media.Add(int64(len(failed)))
		if err := l.describe(ctx, out, failed); err != nil {
			return err
		}
	}
	return l.list(ctx, out)
}

// list goes through all media by the time of their creation.
func (l *Library) list(ctx context.Context, out chan<- mirror.Snapshot) error {
	at, seen := l.Since, map[string]bool{} // the media of the second `at` that have been sent
	for !at.After(l.Until) {
		page, _, err := l.search(ctx, vod.Search{After: at, Before: l.Until, Limit: pageSize})
		if err != nil {
			return err
		}
		for _, m := range page {
			if m.CreateTime.Before(at) {
				return fmt.Errorf("listing media: VOD does not sort them: %s comes after %s", m.CreateTime.Format(time.RFC3339), at.Format(time.RFC3339))
			}
			if m.CreateTime.After(at) {
				at = m.CreateTime
				clear(seen)
			}
			if err := l.send(ctx, out, m, seen); err != nil {
				return err
			}
		}
		if len(page) < pageSize {
			return nil
		}
		if page[0].CreateTime.Equal(at) { // a page of nothing but this second
			if err := l.second(ctx, out, at, seen); err != nil {
				return err
			}
			at = at.Add(time.Second)
			clear(seen)
		}
	}
	return nil
}

// second reads all media of one second, by offsets, from both ends when there are more than a search reaches.
func (l *Library) second(ctx context.Context, out chan<- mirror.Snapshot, at time.Time, seen map[string]bool) error {
	upward, err := l.pages(ctx, out, vod.Search{After: at, Before: at}, seen)
	if err != nil || len(upward) < vod.SearchReach {
		return err
	}
	downward, err := l.pages(ctx, out, vod.Search{After: at, Before: at, Descending: true}, seen)
	if err != nil {
		return err
	}
	if !meet(upward, downward) {
		l.unseen.Add(1)
		l.Log.Warn("VOD has more media of one second than its API lists: some could not be read",
			"second", at.Format(time.RFC3339), "read", len(seen), "hint", "name them with --file-id, or mirror them by their events")
	}
	return nil
}

// meet says whether a list that was read from both ends is known to be whole. It is if the last of one end stands in the other,
// and from there on both name the same media in opposite orders: were media of the same second not sorted, both ends could hold
// the same ones.
func meet(upward, downward []string) bool {
	from := slices.Index(downward, upward[len(upward)-1])
	if from < 0 {
		return false
	}
	for i := from; i < len(downward); i++ {
		if j := len(upward) - 1 - (i - from); j < 0 || upward[j] != downward[i] {
			return false
		}
	}
	return true
}

// pages reads what a search reaches by offsets, and gives the file ids in their order.
func (l *Library) pages(ctx context.Context, out chan<- mirror.Snapshot, s vod.Search, seen map[string]bool) (ids []string, _ error) {
	for s.Limit = pageSize; s.Offset+s.Limit <= vod.SearchReach; s.Offset += s.Limit {
		page, _, err := l.search(ctx, s)
		if err != nil {
			return nil, err
		}
		for _, m := range page {
			ids = append(ids, m.FileID)
			if err := l.send(ctx, out, m, seen); err != nil {
				return nil, err
			}
		}
		if len(page) < s.Limit {
			break
		}
	}
	return ids, nil
}

// describe reads media by their file ids.
func (l *Library) describe(ctx context.Context, out chan<- mirror.Snapshot, fileIDs []string) error {
	for part := range slices.Chunk(fileIDs, vod.MaxFileIDs) {
		var media []vod.Media
		var missing []string
		err := l.patiently(ctx, func() (err error) {
			media, missing, err = l.API.DescribeMedia(ctx, part)
			return err
		})
		if err != nil {
			return err
		}
		for _, id := range missing {
			l.malformed(id, errors.New("VOD has no such media"))
		}
		for _, m := range media {
			if err := l.send(ctx, out, m, map[string]bool{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// send sends the snapshots of a media that has not been seen.
func (l *Library) send(ctx context.Context, out chan<- mirror.Snapshot, m vod.Media, seen map[string]bool) error {
	if seen[m.FileID] {
		return nil
	}
	seen[m.FileID] = true
	event, free, err := l.decoder.decode(ctx, m.Text)
	defer free()
	if ctx.Err() != nil {
		return ctx.Err()
	}
	l.Stats.Events.Add(1)
	if err != nil {
		l.malformed(m.FileID, err)
		return nil
	}
	for _, err := range event.Malformed {
		l.malformed(m.FileID, err)
	}
	snapshots := event.Snapshots
	if len(snapshots) == 0 {
		l.Stats.Foreign.Add(1)
	}
	if l.Take != nil && !l.Take(m.FileID) {
		l.Stats.OtherShares.Add(int64(len(snapshots)))
		snapshots = nil
	}
	snapshots, leftOut := l.Filter.Split(snapshots)
	l.Stats.LeftOut.Add(int64(leftOut))
	if l.Journal != nil {
		l.Journal.begin(m, len(snapshots))
	}
	for _, s := range snapshots {
		select {
		case out <- s:
			l.Stats.Snapshots.Add(1)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func (l *Library) malformed(fileID string, err error) {
	l.Stats.Malformed.Add(1)
	l.Malformed(fileID, err)
}

// Unseen is in how many seconds there may be more media than VOD lists.
func (l *Library) Unseen() int64 { return l.unseen.Load() }

// Total is how many snapshots there are to read: exact when all are read; before that an estimate, as soon as the media are
// counted; else -1.
func (l *Library) Total() (n int64, exact bool) {
	read, found, media := l.Stats.Events.Load(), l.Stats.Snapshots.Load(), l.media.Load()
	switch {
	case l.read.Load():
		return found, true
	case !l.exact.Load() || read == 0:
		return -1, false
	}
	return max(found, int64(float64(found)*float64(media)/float64(read))), false
}
