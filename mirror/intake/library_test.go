package intake_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
)

var vodTime = time.Date(2025, 6, 1, 12, 0, 0, 0, time.UTC)

// media makes n media with a snapshot each, created at times that at gives.
func media(name string, n int, at func(i int) time.Time) []vodtest.Media {
	out := make([]vodtest.Media, n)
	for i := range out {
		id := fmt.Sprintf("%s-%d", name, i)
		out[i] = vodtest.Media{FileID: id, CreateTime: at(i), Snapshots: fmt.Sprintf(
			`{"SnapshotByTimeOffsetSet":[{"Definition":10,"PicInfoSet":[{"TimeOffset":0.0,"Url":"http://h/%s/0.jpg"}]}]}`, id)}
	}
	return out
}

func every(d time.Duration) func(int) time.Time {
	return func(i int) time.Time { return vodTime.Add(time.Duration(i) * d) }
}

func inOneSecond(int) time.Time { return vodTime.Add(1000 * time.Second) }

// library is a Library on a stand-in, and what it has read.
type library struct {
	*intake.Library
	watch
	server *vodtest.Server
	bad    []string
}

func newLibrary(t testing.TB, rate int, m ...vodtest.Media) *library {
	t.Helper()
	o := vodOptions
	o.Rate = rate
	server := vodtest.Start(t, o)
	server.SetMedia(m...)
	l := &library{server: server}
	l.Library = l.on(t, float64(rate))
	return l
}

// on is a new Library on the same stand-in.
func (l *library) on(t testing.TB, rate float64) *intake.Library {
	if rate == 0 {
		rate = 1e6
	}
	return &intake.Library{
		API: newAPI(t, l.server, rate), Log: slog.New(slog.NewJSONHandler(&l.watch, nil)),
		Malformed: func(id string, err error) { l.bad = append(l.bad, id+": "+err.Error()) },
	}
}

// read reads everything and gives how often each file id came. each is told of every snapshot.
func read(t testing.TB, ctx context.Context, l *intake.Library, each func(mirror.Snapshot)) (map[string]int, error) {
	t.Helper()
	out := make(chan mirror.Snapshot)
	ended := make(chan error, 1)
	go func() { defer close(out); ended <- l.Read(ctx, out) }()
	got := map[string]int{}
	for s := range out {
		got[s.FileID]++
		if each != nil {
			each(s)
		}
	}
	return got, <-ended
}

// all says that every one of n media of a name came exactly once, and nothing else.
func all(t testing.TB, got map[string]int, want ...[]vodtest.Media) {
	t.Helper()
	n := 0
	for _, media := range want {
		n += len(media)
		for _, m := range media {
			if got[m.FileID] != 1 {
				t.Errorf("%s came %d times, want once", m.FileID, got[m.FileID])
				return
			}
		}
	}
	if len(got) != n {
		t.Errorf("%d media came, want %d", len(got), n)
	}
}

// Far more media than a search reaches, thousands of them in one second.
func TestLibrary(t *testing.T) {
	spread, same := media("spread", 7_000, every(time.Second/3)), media("same", 8_000, inOneSecond)
	l := newLibrary(t, 0, append(spread, same...)...)
	l.server.SetMedia(vodtest.Media{FileID: "bare", CreateTime: vodTime.Add(time.Hour)})
	got, err := read(t, t.Context(), l.Library, nil)
	if err != nil || l.Unseen() != 0 {
		t.Errorf("%v, %d seconds unseen", err, l.Unseen())
	}
	all(t, got, spread, same)
	if n, exact := l.Total(); n != 15_000 || !exact || l.Stats.Events.Load() != 15_001 || l.Stats.Foreign.Load() != 1 {
		t.Errorf("total %d, exact %t, %d media, %d without snapshots", n, exact, l.Stats.Events.Load(), l.Stats.Foreign.Load())
	}
	// 70 pages, twice 50 for the second, and the counting.
	if n := l.server.Calls("SearchMedia"); n > 250 {
		t.Errorf("%d calls for 150 pages", n)
	}
}

// In a second, 5,000 media are all that one search reaches, and 10,000 all that two do.
func TestLibrarySecond(t *testing.T) {
	for n, want := range map[int]struct{ read, unseen int }{
		99: {99, 0}, 100: {100, 0}, 101: {101, 0}, 4_999: {4_999, 0}, 5_000: {5_000, 0}, 5_001: {5_001, 0}, 9_999: {9_999, 0}, 10_001: {10_000, 1},
	} {
		l := newLibrary(t, 0, append(media("m", n, inOneSecond), media("after", 1, func(int) time.Time { return vodTime.Add(time.Hour) })...)...)
		got, err := read(t, t.Context(), l.Library, nil)
		if err != nil || len(got) != want.read+1 || l.Unseen() != int64(want.unseen) || got["after-0"] != 1 {
			t.Errorf("%d media of a second: %d read (%v), %d unseen; want %+v and the one behind them", n, len(got)-1, err, l.Unseen(), want)
		}
		if told := strings.Join(l.lines(t, slog.LevelWarn), "\n"); (want.unseen > 0) != strings.Contains(told, "more media of one second") {
			t.Errorf("%d media of a second: told %q", n, told)
		}
	}
}

// Media that are deleted meanwhile don't make others be passed over.
func TestLibraryDeletions(t *testing.T) {
	m := media("m", 2_000, every(time.Second/2))
	l := newLibrary(t, 0, m...)
	got, err := read(t, t.Context(), l.Library, func(s mirror.Snapshot) { l.server.DeleteMedia(s.FileID) })
	if err != nil {
		t.Error(err)
	}
	all(t, got, m)
}

func TestLibraryBounds(t *testing.T) {
	m := media("m", 100, every(time.Second))
	l := newLibrary(t, 0, m...)
	l.Since, l.Until = vodTime.Add(10*time.Second), vodTime.Add(19*time.Second+time.Millisecond)
	l.Take = func(id string) bool { return id != "m-15" }
	got, err := read(t, t.Context(), l.Library, nil)
	if err != nil || len(got) != 9 || got["m-10"] != 1 || got["m-19"] != 1 || l.Stats.OtherShares.Load() != 1 {
		t.Errorf("%v (%v), want m-10 to m-19 without m-15", got, err)
	}
}

func TestLibraryFileIDs(t *testing.T) {
	m := media("m", 50, every(time.Second))
	l := newLibrary(t, 0, m...)
	for _, m := range m[:30] {
		l.FileIDs = append(l.FileIDs, m.FileID)
	}
	l.FileIDs = append(l.FileIDs, "none")
	got, err := read(t, t.Context(), l.Library, nil)
	if err != nil {
		t.Error(err)
	}
	all(t, got, m[:30])
	if diff := cmp.Diff([]string{"none: VOD has no such media"}, l.bad); diff != "" {
		t.Error(diff)
	}
}

// The rate stays below VOD's limit, and answers that it was above are waited out.
func TestLibraryRate(t *testing.T) {
	m := media("m", 1_000, every(time.Second))
	l := newLibrary(t, 20, m...)
	l.server.Fail("SearchMedia", "RequestLimitExceeded", "later", 2)
	l.server.Fail("SearchMedia", "InternalError", "sorry", 1)
	got, err := read(t, t.Context(), l.Library, nil)
	if err != nil || l.server.Throttled() != 0 {
		t.Errorf("%v, %d calls above the rate", err, l.server.Throttled())
	}
	all(t, got, m)
}

// What can't be mended by waiting ends it at once.
func TestLibraryDenied(t *testing.T) {
	l := newLibrary(t, 0, media("m", 10, every(time.Second))...)
	l.server.Forbid("SearchMedia")
	_, err := read(t, t.Context(), l.Library, nil)
	var e *vod.APIError
	if !errors.As(err, &e) || e.Hint != "the credentials need the CAM permission vod:SearchMedia" {
		t.Errorf("%v", err)
	}
}

// A run that ends in the middle is gone on with: from where everything was settled, and with what had failed.
func TestJournal(t *testing.T) {
	m := media("m", 3_000, every(time.Second/2))
	l := newLibrary(t, 0, m...)
	name := filepath.Join(t.TempDir(), "state")
	journal, err := intake.OpenJournal(name, "run")
	if err != nil {
		t.Fatal(err)
	}
	l.Journal = journal
	ctx, stop := context.WithCancel(t.Context())
	settled := map[string]bool{}
	var held []mirror.Snapshot // results come late, and not in order
	_, err = read(t, ctx, l.Library, func(s mirror.Snapshot) {
		if held = append(held, s); len(held) > 10 {
			i := len(settled) % len(held)
			s = held[i]
			held = slices.Delete(held, i, i+1)
			r := mirror.Result{Snapshot: s, Outcome: mirror.Mirrored}
			if s.FileID == "m-77" {
				r.Outcome = mirror.Failed
			} else {
				settled[s.FileID] = true
			}
			if err := journal.Done(r); err != nil {
				t.Error(err)
			}
		}
		if len(settled) == 2_000 {
			stop()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	if _, err := intake.OpenJournal(name, "run"); err == nil {
		t.Error("two runs have one state file")
	}
	if err := journal.Close(false); err != nil {
		t.Error(err)
	}
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	before := l.server.Calls("SearchMedia")

	if _, err := intake.OpenJournal(name, "another"); !errors.Is(err, intake.ErrOtherRun) {
		t.Errorf("another run may go on: %v", err)
	}
	if err := os.WriteFile(name, append(text, `{"reached":"20`...), 0o644); err != nil { // the kill came in the middle of a line
		t.Fatal(err)
	}
	for range 2 { // opened, and killed at once
		if journal, err = intake.OpenJournal(name, "run"); err != nil {
			t.Fatal(err)
		}
		if err := journal.Close(false); err != nil {
			t.Fatal(err)
		}
	}
	if journal, err = intake.OpenJournal(name, "run"); err != nil {
		t.Fatal(err)
	}
	again := l.on(t, 0)
	again.Journal = journal
	got, err := read(t, t.Context(), again, func(s mirror.Snapshot) {
		if err := journal.Done(mirror.Result{Snapshot: s, Outcome: mirror.Mirrored}); err != nil {
			t.Error(err)
		}
	})
	if err != nil {
		t.Error(err)
	}
	for _, m := range m {
		if !settled[m.FileID] && got[m.FileID] == 0 {
			t.Errorf("%s was settled in neither run", m.FileID)
		}
	}
	if after := l.server.Calls("SearchMedia") - before; len(got) > 1_100 || after > 20 {
		t.Errorf("the second run read %d media in %d calls, the first left 1,000", len(got), after)
	}
	if got["m-77"] == 0 {
		t.Error("what failed is not tried again")
	}
	if err := journal.Close(true); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a finished run leaves its state: %v", err)
	}
}

// Whatever a state file holds, it is refused, or gone on with twice in the same way.
func FuzzJournal(f *testing.F) {
	f.Add([]byte(`{"run":"run"}` + "\n" + `{"reached":"2025-06-01T12:00:00Z"}` + "\n" + `{"failed":"1"}` + "\n" + `{"rea`))
	f.Add([]byte(`{"run":"another"}`))
	f.Add([]byte(`{"run":"run"}{"failed":"1"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		name := filepath.Join(t.TempDir(), "state")
		if err := os.WriteFile(name, text, 0o644); err != nil {
			t.Fatal(err)
		}
		first, err := intake.OpenJournal(name, "run")
		if err != nil {
			if after, _ := os.ReadFile(name); string(after) != string(text) {
				t.Errorf("a refused file is changed to %q", after)
			}
			return
		}
		if err := first.Close(false); err != nil {
			t.Fatal(err)
		}
		second, err := intake.OpenJournal(name, "run")
		if err != nil {
			t.Fatalf("%v after %q", err, text)
		}
		if !second.Reached().Equal(first.Reached()) || !slices.Equal(second.Failed(), first.Failed()) {
			t.Errorf("%v and %q at first, then %v and %q", first.Reached(), first.Failed(), second.Reached(), second.Failed())
		}
		_ = second.Close(true)
	})
}
