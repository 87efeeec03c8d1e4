package admin

import (
	"cmp"
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// Bounds of a contact sheet.
const (
	sheetKeys    = 5000 // that are listed of one video
	sheetPage    = 48
	sheetHeads   = 8 // at once
	sheetsAtOnce = 4
	sheetTimeout = 8 * time.Second
	maxFileID    = 256
)

// sheet is what is mirrored of one video, in the order of time.
type sheet struct {
	FileID      string
	Tiles       []tile
	Count       int
	AtLeast     bool
	Page, Pages int
	Problem     string // why there is no list
	Failed      census
}

// tile is a picture with what is known of it.
type tile struct {
	Key        string
	FileID     string
	Offset     string
	Size       string
	Definition string
	TaskID     string
	Stored     time.Time
	Ours       bool   // what can be shown
	Note       string // why it is not shown
}

func (p *pages) file(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	s := sheet{FileID: strings.TrimSpace(query.Get("id")), Page: 1}
	if n, err := strconv.Atoi(query.Get("page")); err == nil && n > 1 && n <= sheetKeys {
		s.Page = n
	}
	switch {
	case s.FileID == "":
		s.Problem = "Type a FileId into the box above."
	case len(s.FileID) > maxFileID:
		s.FileID, s.Problem = "", "No FileId is that long."
	default:
		ctx, cancel := context.WithTimeout(r.Context(), sheetTimeout)
		defer cancel()
		if !acquire(ctx, p.sheets, pictureWait) {
			unavailable(w, "too many contact sheets at once")
			return
		}
		defer p.sheets.Release(1)
		p.fill(ctx, &s)
	}
	view := p.view(r, "FileId "+show(s.FileID))
	view.Sheet, view.Done = &s, doneOf(query)
	p.render(w, http.StatusOK, "file.html", view)
}

// fill lists the video's keys and asks for what is recorded of those on the page.
func (p *pages) fill(ctx context.Context, s *sheet) {
	var census sync.WaitGroup
	census.Go(func() { s.Failed = takeCensus(ctx, p.o.Letters(), mirror.LetterFilter{FileID: s.FileID}) })
	defer census.Wait()
	keys, err := p.o.Key.VideoKeys(s.FileID)
	if err != nil {
		s.Problem = show(err.Error())
		return
	}
	list, err := p.o.Pictures.List(ctx, keys.Prefix, "", sheetKeys+1)
	if err != nil {
		s.Problem = "The destination does not give a list: " + show(err.Error())
		if e, ok := errors.AsType[*store.Error](err); ok && e.Hint != "" {
			s.Problem += ". To do: " + show(e.Hint)
		}
		return
	}
	if s.AtLeast = len(list) > sheetKeys; s.AtLeast {
		list = list[:sheetKeys]
	}
	// What other templates have made comes last: its place in time shows only when it is looked at.
	when := func(e store.Entry) mirror.TimeOffset {
		if t, ok := keys.TimeOffset(e.Key); ok {
			return t
		}
		return 1 << 60
	}
	slices.SortStableFunc(list, func(a, b store.Entry) int { return cmp.Compare(when(a), when(b)) })
	s.Count, s.Pages = len(list), (len(list)+sheetPage-1)/sheetPage
	from := min((s.Page-1)*sheetPage, len(list))
	list = list[from:min(from+sheetPage, len(list))]
	s.Tiles = make([]tile, len(list))
	var group errgroup.Group
	group.SetLimit(sheetHeads)
	for i, e := range list {
		group.Go(func() error {
			s.Tiles[i] = p.tile(ctx, e)
			return nil
		})
	}
	_ = group.Wait()
	s.Tiles = slices.DeleteFunc(s.Tiles, func(t tile) bool { return t.FileID != "" && t.FileID != s.FileID })
}

// tile asks the store what is recorded of an object.
func (p *pages) tile(ctx context.Context, e store.Entry) tile {
	t := tile{Key: e.Key, Size: size(e.Size), Stored: e.Modified}
	info, err := p.o.Pictures.Head(ctx, e.Key)
	if err != nil {
		t.Note = "can’t be looked at now"
		return t
	}
	snapshot, ours := mirror.Recorded(info)
	if !ours {
		t.Note = "not put there by snapshot-mirror"
		return t
	}
	t.FileID, t.Offset, t.Definition, t.TaskID = snapshot.FileID, offset(snapshot.TimeOffset), strconv.FormatInt(snapshot.Definition, 10), show(snapshot.TaskID)
	if t.Ours = shownTypes[info.ContentType] && info.Size <= p.o.MaxImageSize; !t.Ours {
		t.Note = "too large to be shown, or no picture"
	}
	return t
}
