package intake_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

func mustFilter(t *testing.T, include string) mirror.Filter {
	t.Helper()
	f, err := mirror.ParseFilter([]string{include}, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

// pictures is an event of one file with pictures at these offsets.
func pictures(file string, offsets ...int) string {
	var items []string
	for _, o := range offsets {
		items = append(items, fmt.Sprintf(`{"ErrCode":0,"TimeOffset":%d,"Url":"http://h/x"}`, o))
	}
	return fmt.Sprintf(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"TaskId":"t","FileId":%q,"Definition":10,"SnapshotInfoSet":[%s]}}`,
		file, strings.Join(items, ","))
}

// What the filter leaves out of a callback's event is counted and not queued, and an event of which nothing is left is no error.
func TestCallbackFilter(t *testing.T) {
	queue := &recorder{}
	var w watch
	var leftOut atomic.Int64
	c := &intake.Callback{
		Path: "/", Queue: queue, Filter: mustFilter(t, "file-id=a*,time-offset=0-10"), Count: w.count, LeftOut: func(n int) { leftOut.Add(int64(n)) },
	}
	body := pictures("a", 0, 10, 11) + pictures("b", 0, 1)
	answer := httptest.NewRecorder()
	c.ServeHTTP(answer, httptest.NewRequest(http.MethodPost, "/", strings.NewReader(body)))
	if got := answer.Body.String(); answer.Code != 200 || got != `{"queued":1,"foreign":1}`+"\n" {
		t.Errorf("%d %s", answer.Code, got)
	}
	want := map[intake.EventOutcome]int{intake.EventQueued: 1, intake.EventForeign: 1}
	if diff := cmp.Diff([]string{"a@0,a@10"}, queue.all()) + cmp.Diff(want, w.counts); diff != "" || leftOut.Load() != 3 {
		t.Errorf("%d left out (-want +got):\n%s", leftOut.Load(), diff)
	}
}

// A pulled event of which the filter leaves nothing is done with: it is confirmed, as if it were queued.
func TestPullFilter(t *testing.T) {
	queue := &recorder{}
	p := newPulling(t, vodOptions, queue, intake.Unhandled{})
	p.Filter = mustFilter(t, "file-id=a*,time-offset=0-10")
	var leftOut atomic.Int64
	p.LeftOut = func(n int) { leftOut.Add(int64(n)) }
	p.server.Push(pictures("a", 0, 11), pictures("b", 0, 1))
	p.until(t, "both are confirmed", func() bool { return p.ended(intake.PullConfirmed) == 2 })
	want := map[intake.EventOutcome]int{intake.EventQueued: 1, intake.EventForeign: 1}
	if diff := cmp.Diff([]string{"a@0"}, queue.all()) + cmp.Diff(want, p.counts); diff != "" || leftOut.Load() != 3 {
		t.Errorf("%d left out (-want +got):\n%s", leftOut.Load(), diff)
	}
}

// Of other shares, the filter is not asked: what it leaves out of all shares together is what it leaves out without shares.
func TestFilesFilter(t *testing.T) {
	f := &intake.Files{
		Names: []string{intake.Stdin}, Stdin: strings.NewReader(pictures("a", 0, 10, 11) + pictures("b", 0, 1) + pictures("other", 0)),
		Take: func(id string) bool { return id != "other" }, Filter: mustFilter(t, "file-id=a*,time-offset=0-10"),
		Malformed: func(_ string, _ int, err error) { t.Error(err) }, Announced: func(vod.Failure) {},
	}
	out := make(chan mirror.Snapshot, 10)
	if err := f.Read(t.Context(), out); err != nil {
		t.Fatal(err)
	}
	if n, exact := f.Total(); len(out) != 2 || n != 2 || !exact || f.Stats.LeftOut.Load() != 3 || f.Stats.OtherShares.Load() != 1 {
		t.Errorf("%d sent of %d, %d left out, %d of other shares", len(out), n, f.Stats.LeftOut.Load(), f.Stats.OtherShares.Load())
	}
}

// What the filter leaves out of media is counted, and never sent.
func TestLibraryFilter(t *testing.T) {
	l := newLibrary(t, 0, media("m", 20, every(time.Second))...)
	l.Filter = mustFilter(t, "file-id=m-1*")
	got, err := read(t, t.Context(), l.Library, nil)
	if err != nil || len(got) != 11 || l.Stats.LeftOut.Load() != 9 {
		t.Errorf("%d read, %d left out: %v", len(got), l.Stats.LeftOut.Load(), err)
	}
}
