package vodtest

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"sort"
	"strings"
	"sync"
	"time"
)

const (
	maxSearch   = 5000 // as far as Offset + Limit and TotalCount of SearchMedia go
	maxFileIDs  = 10   // of SearchMedia
	maxDescribe = 20   // of DescribeMediaInfos
)

// filters are the parts of a media that can be asked for. The stand-in has basicInfo and snapshotByTimeOffsetInfo.
var filters = []string{
	"basicInfo", "metaData", "transcodeInfo", "animatedGraphicsInfo", "imageSpriteInfo", "snapshotByTimeOffsetInfo", "sampleSnapshotInfo",
	"keyFrameDescInfo", "adaptiveDynamicStreamingInfo", "miniProgramReviewInfo", "subtitleInfo", "reviewInfo",
}

// Media is a video that VOD keeps.
type Media struct {
	FileID     string
	CreateTime time.Time // VOD knows it to the second
	Snapshots  string    // JSON of SnapshotByTimeOffsetInfo; "" is null
}

// shelf holds all media.
type shelf struct {
	mu     sync.Mutex
	byID   map[string]Media
	sorted []Media // by CreateTime, then FileID; nil when it must be made anew
}

func order(a, b Media) int {
	return cmp.Or(a.CreateTime.Compare(b.CreateTime), strings.Compare(a.FileID, b.FileID))
}

// SetMedia adds media, or replaces those with the same FileID. Snapshots that are no JSON are a mistake of the test: it panics.
func (s *Server) SetMedia(media ...Media) {
	s.media.mu.Lock()
	defer s.media.mu.Unlock()
	if s.media.byID == nil {
		s.media.byID = map[string]Media{}
	}
	for _, m := range media {
		if m.Snapshots != "" && !json.Valid([]byte(m.Snapshots)) {
			panic(fmt.Sprintf("vodtest: the snapshots of media %q are no JSON", m.FileID))
		}
		m.CreateTime = m.CreateTime.UTC().Truncate(time.Second)
		s.media.byID[m.FileID] = m
	}
	s.media.sorted = nil
}

// DeleteMedia removes a media, where it is there.
func (s *Server) DeleteMedia(fileID string) {
	s.media.mu.Lock()
	defer s.media.mu.Unlock()
	m, ok := s.media.byID[fileID]
	if !ok {
		return
	}
	delete(s.media.byID, fileID)
	if i, ok := slices.BinarySearchFunc(s.media.sorted, m, order); ok {
		s.media.sorted = slices.Delete(s.media.sorted, i, i+1)
	}
}

// all gives the media in order. The caller holds the mutex.
func (h *shelf) all() []Media {
	if h.sorted == nil {
		h.sorted = make([]Media, 0, len(h.byID))
		for _, m := range h.byID {
			h.sorted = append(h.sorted, m)
		}
		slices.SortFunc(h.sorted, order)
	}
	return h.sorted
}

// some gives those of the media that are there, each once, in order. The caller holds the mutex.
func (h *shelf) some(ids []string) []Media {
	var found []Media
	for _, id := range slices.Compact(slices.Sorted(slices.Values(ids))) {
		if m, ok := h.byID[id]; ok {
			found = append(found, m)
		}
	}
	slices.SortFunc(found, order)
	return found
}

// search is SearchMedia's request.
type search struct {
	FileIds    []string
	CreateTime struct{ After, Before *string }
	Sort       struct{ Field, Order *string }
	Offset     uint64
	Limit      *uint64
	Filters    []string
	Categories []string
}

func (s *Server) searchMedia(_ context.Context, params map[string]json.RawMessage) (answer, *fault) {
	var request search
	if f := decode(params, &request); f != nil {
		return nil, f
	}
	limit := uint64(10)
	if request.Limit != nil {
		limit = *request.Limit
	}
	_, sorted := params["Sort"]
	backwards, f := request.backwards(sorted)
	switch {
	case f != nil:
		return nil, f
	case limit == 0 || limit > maxSearch || request.Offset > maxSearch || request.Offset+limit > maxSearch:
		return nil, faultf("InvalidParameterValue.Limit", "Offset + Limit must be at most %d, and Limit at least 1", maxSearch)
	case len(request.FileIds) > maxFileIDs:
		return nil, faultf("InvalidParameterValue.FileIdsTooMany", "FileIds must have at most %d elements", maxFileIDs)
	}
	after, f := instant(request.CreateTime.After, time.Time{})
	if f != nil {
		return nil, f
	}
	before, f := instant(request.CreateTime.Before, time.Unix(1<<40, 0))
	if f != nil {
		return nil, f
	}
	if before.Before(after) {
		return nil, faultf("InvalidParameterValue", "CreateTime.Before is earlier than CreateTime.After")
	}
	for _, category := range request.Categories {
		if !slices.Contains([]string{"Video", "Audio", "Image"}, category) {
			return nil, faultf("InvalidParameterValue.Categories", "invalid Categories")
		}
	}
	if f := checkFilters(request.Filters); f != nil {
		return nil, f
	}
	page, total := s.media.page(&request, after, before, limit, backwards)
	return answer{"TotalCount": min(total, maxSearch), "MediaInfoSet": infos(page, request.Filters)}, nil
}

// backwards says whether the youngest media come first, as they do where the client does not ask for an order: the documentation has no word
// on that.
func (r *search) backwards(sorted bool) (bool, *fault) {
	field, order := r.Sort.Field, r.Sort.Order
	switch {
	case !sorted:
		return true, nil
	case field == nil || *field != "CreateTime" || order == nil || *order != "Asc" && *order != "Desc":
		return false, faultf("InvalidParameterValue.Sort", "invalid Sort")
	}
	return *order == "Desc", nil
}

// page gives the media that were asked for, and how many there are in all.
func (h *shelf) page(r *search, after, before time.Time, limit uint64, backwards bool) (page []Media, total int) {
	if len(r.Categories) > 0 && !slices.Contains(r.Categories, "Video") {
		return nil, 0 // all are videos
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	found := h.all()
	if len(r.FileIds) > 0 {
		found = h.some(r.FileIds)
	}
	found = found[sort.Search(len(found), func(i int) bool { return !found[i].CreateTime.Before(after) }):]
	found = found[:sort.Search(len(found), func(i int) bool { return found[i].CreateTime.After(before) })]
	total = len(found)
	from, to := min(int(r.Offset), total), min(int(r.Offset+limit), total)
	if backwards {
		page = slices.Clone(found[total-to : total-from])
		slices.Reverse(page)
		return page, total
	}
	return slices.Clone(found[from:to]), total
}

// instant reads a time of a request: in ISO 8601, to the second.
func instant(text *string, missing time.Time) (time.Time, *fault) {
	if text == nil {
		return missing, nil
	}
	t, err := time.Parse(time.RFC3339, *text)
	if err != nil || strings.ContainsAny(*text, ".,") {
		return t, faultf("InvalidParameterValue", "a time must have the form 2018-10-01T10:00:00Z")
	}
	return t, nil
}

func checkFilters(names []string) *fault {
	for _, name := range names {
		if !slices.Contains(filters, name) {
			return faultf("InvalidParameterValue.Filters", "invalid Filters")
		}
	}
	return nil
}

func (s *Server) describeMediaInfos(_ context.Context, params map[string]json.RawMessage) (answer, *fault) {
	var request struct{ FileIds, Filters []string }
	if f := decode(params, &request); f != nil {
		return nil, f
	}
	switch n := len(request.FileIds); {
	case n == 0:
		return nil, faultf("InvalidParameterValue.FileIdsEmpty", "FileIds is empty")
	case n > maxDescribe:
		return nil, faultf("InvalidParameterValue.FileIdsTooMany", "FileIds must have at most %d elements", maxDescribe)
	}
	if f := checkFilters(request.Filters); f != nil {
		return nil, f
	}
	s.media.mu.Lock()
	defer s.media.mu.Unlock()
	missing := []string{}
	for _, id := range request.FileIds {
		if _, ok := s.media.byID[id]; !ok {
			missing = append(missing, id)
		}
	}
	return answer{"MediaInfoSet": infos(s.media.some(request.FileIds), request.Filters), "NotExistFileIdSet": missing}, nil
}

// info is a media in an answer.
type info struct {
	FileId                   string
	BasicInfo                *basicInfo
	SnapshotByTimeOffsetInfo json.RawMessage
}

type basicInfo struct{ CreateTime string }

// infos gives the parts of media that the filters name, or all of them.
func infos(media []Media, filters []string) []info {
	wants := func(filter string) bool { return len(filters) == 0 || slices.Contains(filters, filter) }
	set := make([]info, len(media))
	for i, m := range media {
		set[i].FileId = m.FileID
		if wants("basicInfo") {
			set[i].BasicInfo = &basicInfo{m.CreateTime.Format(time.RFC3339)}
		}
		if m.Snapshots != "" && wants("snapshotByTimeOffsetInfo") {
			set[i].SnapshotByTimeOffsetInfo = json.RawMessage(m.Snapshots)
		}
	}
	return set
}
