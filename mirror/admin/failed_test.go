package admin_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
)

func letter(fileID string, reason mirror.Reason) mirror.Letter {
	now := time.Now().UTC()
	return mirror.Letter{
		Snapshot: mirror.Snapshot{FileID: fileID, TimeOffset: 1000.5, Definition: 10, TaskID: "t", URL: "https://cdn.example/1.jpg?sign=a&t=<1>"},
		Reason:   reason, Error: "the origin says \"no\"\nand no more", First: now.Add(-time.Hour), Last: now, Attempts: 3,
	}
}

// decode reads a list as a client does, which fails at anything but JSON values.
func decode(t *testing.T, text string) (list []mirror.Letter) {
	t.Helper()
	for lines := json.NewDecoder(strings.NewReader(text)); ; {
		var l mirror.Letter
		err := lines.Decode(&l)
		if err == io.EOF {
			return list
		}
		if err != nil {
			t.Fatalf("%v in %q", err, text)
		}
		list = append(list, l)
	}
}

func decodeCount(t *testing.T, got response) (count admin.Count) {
	t.Helper()
	if kind := got.header.Get("Content-Type"); kind != "application/json" {
		t.Errorf("the type is %q, want application/json", kind)
	}
	if err := json.Unmarshal([]byte(got.body), &count); err != nil {
		t.Errorf("%v in %q", err, got.body)
	}
	return count
}

// Everything that is known of a letter, a line each, the URL as it was.
func TestList(t *testing.T) {
	l := &letters{list: []mirror.Letter{letter("b", mirror.SourceMissing), letter("a", mirror.NotAnImage), letter("b", mirror.SourceMissing)}}
	got := ask(t, "GET", start(t, options(l))+admin.PathFailed, "", nil)
	if kind := got.header.Get("Content-Type"); got.status != 200 || kind != "application/x-ndjson" {
		t.Errorf("status %d, type %q, want 200 and application/x-ndjson", got.status, kind)
	}
	if lines := strings.Count(got.body, "\n"); lines != 3 || !strings.HasSuffix(got.body, "\n") {
		t.Errorf("%d lines, want 3:\n%s", lines, got.body)
	}
	if diff := cmp.Diff(l.list, decode(t, got.body)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestListFilter(t *testing.T) {
	want := letter("b", mirror.NotAnImage)
	l := &letters{list: []mirror.Letter{letter("b", mirror.SourceMissing), want, letter("a", mirror.NotAnImage)}}
	got := ask(t, "GET", start(t, options(l))+admin.PathFailed+"?file_id=b&reason=not_an_image", "", nil)
	if diff := cmp.Diff([]mirror.Letter{want}, decode(t, got.body)); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestListOfNone(t *testing.T) {
	if got := ask(t, "GET", start(t, options(&letters{}))+admin.PathFailed, "", nil); got.status != 200 || got.body != "" {
		t.Errorf("%d %q, want 200 and nothing", got.status, got.body)
	}
}

// failingList fails after n letters.
func failingList(n int) *letters {
	l := &letters{err: errors.New("the queue is away")}
	for range n {
		l.list = append(l.list, letter("a", mirror.SourceMissing))
	}
	return l
}

// While nothing is under way, there is still room to say why.
func TestListThatFailsEarly(t *testing.T) {
	for _, n := range []int{0, 1} {
		got := ask(t, "GET", start(t, options(failingList(n)))+admin.PathFailed, "", nil)
		if count := decodeCount(t, got); got.status != 503 || count != (admin.Count{Error: "the queue is away"}) {
			t.Errorf("after %d letters: %d %s, want 503 and the error", n, got.status, got.body)
		}
	}
}

// Nobody may take half a list for all of it, whether one buffer is under way or many.
func TestListThatFailsMidway(t *testing.T) {
	for _, n := range []int{20, 1000} {
		resp, err := http.Get(start(t, options(failingList(n))) + admin.PathFailed)
		if err != nil {
			continue // not even a status
		}
		text, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close()
		if err == nil {
			t.Errorf("after %d letters: status %d and %d bytes without an error", n, resp.StatusCode, len(text))
		}
	}
}

func TestChange(t *testing.T) {
	const day = 24 * time.Hour
	for _, test := range []struct {
		query string
		want  mirror.LetterFilter
	}{
		{"all=true", mirror.LetterFilter{}},
		{"reason=source_missing", mirror.LetterFilter{Reason: mirror.SourceMissing}},
		{"file_id=14508071098244929440", mirror.LetterFilter{FileID: "14508071098244929440"}},
		{"id=a-B_9", mirror.LetterFilter{ID: "a-B_9"}},
		{"older_than=24h", mirror.LetterFilter{OlderThan: day}},
		{"newer_than=1m30s", mirror.LetterFilter{NewerThan: 90 * time.Second}},
		{"all=false&reason=too_large", mirror.LetterFilter{Reason: mirror.TooLarge}},
		{"all=true&reason=too_large", mirror.LetterFilter{Reason: mirror.TooLarge}}, // all of those
		{"older_than=1h&newer_than=24h&file_id=a+b&reason=key_conflict",
			mirror.LetterFilter{Reason: mirror.KeyConflict, FileID: "a b", OlderThan: time.Hour, NewerThan: day}},
	} {
		for path, do := range map[string]string{admin.PathRetry: "retry", admin.PathDiscard: "discard"} {
			l := &letters{n: 7}
			got := ask(t, "POST", start(t, options(l))+path+"?"+test.query, "", nil)
			if count := decodeCount(t, got); got.status != 200 || count != (admin.Count{Count: 7}) {
				t.Errorf("%s %s: %d %s, want 200 and 7", do, test.query, got.status, got.body)
			}
			if diff := cmp.Diff([]call{{do, test.want}}, l.asked()); diff != "" {
				t.Errorf("%s %s (-want +got):\n%s", do, test.query, diff)
			}
		}
	}
}

// A forgotten filter is no wish to drop everything.
func TestChangeOfAllIsMeant(t *testing.T) {
	for _, query := range []string{"", "all=false", "all=1", "all=True", "older_than=0s"} {
		l := &letters{}
		url := start(t, options(l))
		for _, path := range []string{admin.PathRetry, admin.PathDiscard} {
			got := ask(t, "POST", url+path+"?"+query, "", nil)
			if count := decodeCount(t, got); got.status != 400 || !strings.Contains(count.Error, "all=true") {
				t.Errorf("%s?%s: %d %s, want 400 and how to do it", path, query, got.status, got.body)
			}
		}
		if asked := l.asked(); len(asked) > 0 {
			t.Errorf("%q did %v", query, asked)
		}
	}
}

// What was done before it failed was done.
func TestChangeThatFails(t *testing.T) {
	url := start(t, options(&letters{n: 2, err: errors.New("the queue is away")}))
	for _, path := range []string{admin.PathRetry, admin.PathDiscard} {
		got := ask(t, "POST", url+path+"?all=true", "", nil)
		if count := decodeCount(t, got); got.status != 503 || count != (admin.Count{Count: 2, Error: "the queue is away"}) {
			t.Errorf("%s: %d %s, want 503, 2 and the error", path, got.status, got.body)
		}
	}
}

// A filter that is not understood must not become none; all=true shows what it would do then.
func TestStrictQuery(t *testing.T) {
	for _, test := range []struct{ query, want string }{
		{"fileid=a", "fileid"},
		{"FILE_ID=a", "FILE_ID"},
		{"older-than=1h", "older-than"},
		{"reason=gone", "gone"},
		{"reason=SOURCE_MISSING", "SOURCE_MISSING"},
		{"reason=", "reason"},
		{"file_id=", "file_id"},
		{"file_id", "file_id"},
		{"id=", "id"},
		{"id=*", "id"},
		{"id=a.b", "id"},
		{"id=a&id=b", "id"},
		{"older_than=", "older_than"},
		{"older_than=24", "older_than"},
		{"newer_than=2d", "newer_than"},
		{"older_than=-1h", "older_than"},
		{"newer_than=-1ns", "newer_than"},
		{"reason=too_large&reason=too_large", "reason"},
		{"file_id=a&file_id=b", "file_id"},
		{"file_id=a&file_id=", "file_id"},
		{"older_than=1h&older_than=2h", "older_than"},
		{"all=false", "all"}, // with the other, that is two
		{"all=", "all"},
		{"newer_than=0s", "newer_than"},
		{"file_id=%zz", "query"}, // net/http would pass over it, and discard everything
		{"file_id=a;b", "query"},
	} {
		l := &letters{}
		url := start(t, options(l))
		for _, request := range api[:3] {
			path, _, _ := strings.Cut(request.path, "?")
			got := ask(t, request.method, url+path+"?all=true&"+test.query, "", nil)
			if count := decodeCount(t, got); got.status != 400 || !strings.Contains(count.Error, test.want) || count.Count != 0 {
				t.Errorf("%s?%s: %d %s, want 400 that names %s", path, test.query, got.status, got.body, test.want)
			}
		}
		if asked := l.asked(); len(asked) > 0 {
			t.Errorf("%s did %v", test.query, asked)
		}
	}
}

// The queue opens after the address.
func TestNoQueueYet(t *testing.T) {
	var open atomic.Bool
	l := &letters{}
	o := options(l)
	o.Letters = func() admin.Letters {
		if open.Load() {
			return l
		}
		return nil
	}
	url := start(t, o)
	for _, request := range api[:3] {
		got := ask(t, request.method, url+request.path, "", nil)
		if count := decodeCount(t, got); got.status != 503 || !strings.Contains(count.Error, "queue") {
			t.Errorf("%s: %d %s, want 503 and why", request.path, got.status, got.body)
		}
	}
	open.Store(true)
	for _, request := range api[:3] {
		if got := ask(t, request.method, url+request.path, "", nil); got.status != 200 {
			t.Errorf("%s: %d %s when the queue is open", request.path, got.status, got.body)
		}
	}
}

// What the command writes is what serve reads.
func TestQuery(t *testing.T) {
	for _, want := range []mirror.LetterFilter{
		{},
		{Reason: mirror.StoreRejected},
		{ID: "a-B_9"},
		{FileID: "a&all=true b/ü%;+"},
		{OlderThan: 48 * time.Hour},
		{NewerThan: 1500 * time.Millisecond},
		{Reason: mirror.SourceBusy, FileID: "1", OlderThan: time.Nanosecond, NewerThan: 1<<63 - 1},
	} {
		l := &letters{}
		got := ask(t, "GET", start(t, options(l))+admin.PathFailed+"?"+admin.Query(want).Encode(), "", nil)
		if diff := cmp.Diff([]call{{"list", want}}, l.asked()); got.status != 200 || diff != "" {
			t.Errorf("status %d (-want +got):\n%s", got.status, diff)
		}
	}
}

func TestQueryOfEveryReason(t *testing.T) {
	l := &letters{}
	url := start(t, options(l))
	for _, r := range mirror.Reasons {
		if got := ask(t, "GET", url+admin.PathFailed+"?"+admin.Query(mirror.LetterFilter{Reason: r.Reason}).Encode(), "", nil); got.status != 200 {
			t.Errorf("%s: %d %s", r.Reason, got.status, got.body)
		}
	}
}

// Whatever is asked, what is done is what the query says, all of it and nothing else.
func FuzzQuery(f *testing.F) {
	for _, query := range []string{
		"", "all=true", "all=true&all=false", "reason=too_large&older_than=1h", "file_id=%41&newer_than=0", "file_id=a&file_id=b", "id=a-b", "id=*",
		"x=1&all=true", "older_than=-1h",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		said, err := url.ParseQuery(query)
		if err != nil {
			return
		}
		l := &letters{}
		r := httptest.NewRequest("POST", "http://127.0.0.1"+admin.PathDiscard, nil)
		r.RemoteAddr, r.URL.RawQuery = "127.0.0.1:5", query
		w := httptest.NewRecorder()
		admin.Handler(options(l)).ServeHTTP(w, r)
		asked := l.asked()
		if w.Code != 200 {
			if w.Code != 400 || len(asked) > 0 {
				t.Fatalf("status %d and %v", w.Code, asked)
			}
			return
		}
		all := said.Get("all") == "true"
		said.Del("all")
		for _, name := range []string{"older_than", "newer_than"} { // 0 does not choose, and a duration has many forms
			if d, err := time.ParseDuration(said.Get(name)); err == nil {
				said.Set(name, d.String())
				if d == 0 {
					said.Del(name)
				}
			}
		}
		if len(asked) != 1 || len(said) == 0 && !all {
			t.Fatalf("done: %v", asked)
		}
		if diff := cmp.Diff(said, admin.Query(asked[0].Filter)); diff != "" {
			t.Errorf("-said +done:\n%s", diff)
		}
	})
}
