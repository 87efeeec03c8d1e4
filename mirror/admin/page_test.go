package admin_test

import (
	"context"
	"crypto/md5"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/net/html"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// pictures is a directory with the pictures of a video at the offsets (ms).
func pictures(t *testing.T, fileID string, offsets ...int) *store.Dir {
	t.Helper()
	d, err := store.OpenDir(t.TempDir(), false)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = d.Close() })
	for _, at := range offsets {
		putPicture(t, d, fmt.Sprintf("%s/%d", fileID, at), nil)
	}
	return d
}

// putPicture stores a picture as the worker does; change may alter it.
func putPicture(t *testing.T, d *store.Dir, key string, change func(*store.Object)) {
	t.Helper()
	fileID, at, _ := strings.Cut(key, "/")
	body := []byte("\xff\xd8\xff picture of " + key + "\xff\xd9")
	o := store.Object{Key: key, Body: body, ContentType: "image/jpeg", Metadata: map[string]string{
		"file-id": url.PathEscape(fileID), "time-offset": at, "definition": "10", "task-id": "task-1", "source-url": "http://h/1.jpg",
	}}
	if change != nil {
		change(&o)
	}
	o.MD5 = md5.Sum(o.Body)
	if err := d.Put(t.Context(), o); err != nil {
		t.Fatal(err)
	}
}

// pageOptions are those of a serve with a queue, some pictures and these letters.
func pageOptions(t *testing.T, l *letters, d *store.Dir) admin.Options {
	t.Helper()
	key, err := mirror.ParseKeyTemplate(mirror.DefaultKeyTemplate)
	if err != nil {
		t.Fatal(err)
	}
	o := options(l)
	o.Key, o.Pictures, o.History, o.MaxImageSize = key, d, &admin.History{}, 1000
	o.To, o.Version = "./pictures", "v1"
	o.State = func(context.Context) (admin.State, error) {
		return admin.State{Dead: uint64(len(l.list)), StoreWorks: true}, nil
	}
	return o
}

func named(id string, l mirror.Letter) mirror.Letter {
	l.ID = id
	return l
}

// Who may look, and who may change what. The credentials are user:password or a token.
func TestPageAccess(t *testing.T) {
	basic := func(user, password string) http.Header {
		r := httptest.NewRequest("GET", "/", nil)
		r.SetBasicAuth(user, password)
		return r.Header
	}
	bearer := func(token string) http.Header { return http.Header{"Authorization": {"Bearer " + token}} }
	const here, ourName = "127.0.0.1:5", "mirror.example.com"
	for _, test := range []struct {
		name               string
		auth, remote, host string
		header             http.Header
		page, api, profile int
	}{
		{"here", "", here, "127.0.0.1:9090", nil, 200, 200, 200},
		{"here, by name", "", here, "localhost:9090", nil, 200, 200, 200},
		{"here, though there is a password", "ada:secret12", here, "127.0.0.1:9090", nil, 200, 200, 200},
		{"here, by a stranger's name", "", here, "evil.example", nil, 403, 403, 403},
		{"here, by our name", "", here, ourName, nil, 200, 403, 403},
		{"through a proxy here", "", here, "127.0.0.1:9090", http.Header{"X-Forwarded-For": {"127.0.0.1"}}, 200, 403, 403},
		{"through a proxy here, with a password", "ada:secret12", here, "127.0.0.1:9090", http.Header{"Forwarded": {"for=1.2.3.4"}}, 401, 401, 403},
		{"elsewhere", "", stranger, "192.0.2.9:9090", nil, 200, 403, 403},
		{"elsewhere, by our name", "", stranger, ourName + ":9090", nil, 200, 403, 403},
		{"elsewhere, by our name in capitals", "", stranger, strings.ToUpper(ourName), nil, 200, 403, 403},
		{"elsewhere, by a stranger's name", "", stranger, "evil.example:9090", nil, 403, 403, 403},
		{"elsewhere, by a name below ours", "", stranger, "x." + ourName, nil, 403, 403, 403},
		{"elsewhere, without the password", "ada:secret12", stranger, "192.0.2.9", nil, 401, 401, 403},
		{"elsewhere, with the password", "ada:secret12", stranger, "192.0.2.9", basic("ada", "secret12"), 200, 200, 403},
		{"with the password, by a stranger's name", "ada:secret12", stranger, "evil.example", basic("ada", "secret12"), 200, 403, 403},
		{"here with the password, by a stranger's name", "ada:secret12", here, "evil.example", basic("ada", "secret12"), 200, 403, 403},
		{"another password", "ada:secret12", stranger, "192.0.2.9", basic("ada", "secret13"), 401, 401, 403},
		{"another user", "ada:secret12", stranger, "192.0.2.9", basic("bob", "secret12"), 401, 401, 403},
		{"a colon elsewhere", "ada:secret12", stranger, "192.0.2.9", basic("ada:secret12", ""), 401, 401, 403},
		{"the password as a token", "ada:secret12", stranger, "192.0.2.9", bearer("ada:secret12"), 401, 401, 403},
		{"a token", "token-12", stranger, "192.0.2.9", bearer("token-12"), 200, 200, 403},
		{"a token as a password", "token-12", stranger, "192.0.2.9", basic("anybody", "token-12"), 200, 200, 403},
		{"another token", "token-12", stranger, "192.0.2.9", bearer("token-1"), 401, 401, 403},
		{"no token where none is asked for", "", stranger, "192.0.2.9", bearer(""), 200, 403, 403},
		{"an empty token", "token-12", stranger, "192.0.2.9", bearer(""), 401, 401, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &letters{list: []mirror.Letter{letter("b", mirror.SourceMissing)}}
			o := pageOptions(t, l, pictures(t, "a", 0))
			o.Auth, o.Hosts, o.PProf = test.auth, []string{ourName}, true
			h := admin.Handler(o)
			get := func(method, path string) *httptest.ResponseRecorder {
				r := httptest.NewRequest(method, path, nil)
				if test.header != nil {
					r.Header = test.header.Clone()
				}
				r.RemoteAddr, r.Host = test.remote, test.host
				w := httptest.NewRecorder()
				h.ServeHTTP(w, r)
				return w
			}
			for _, path := range []string{"/", "/live", "/file?id=a", "/failed?reason=source_missing", "/picture?key=a/0", "/assets/page.css"} {
				w := get("GET", path)
				if w.Code != test.page {
					t.Errorf("%s: %d, want %d", path, w.Code, test.page)
				}
				if form, want := strings.Contains(w.Body.String(), "<button name=\"retry\""), test.api == 200 && !strings.HasPrefix(path, "/picture") && path != "/assets/page.css" && !strings.HasPrefix(path, "/file"); form != want {
					t.Errorf("%s: buttons: %v, want %v", path, form, want)
				}
				if strings.Contains(w.Body.String(), "sign=") {
					t.Errorf("%s shows a query", path)
				}
			}
			for method, path := range map[string]string{"GET": admin.PathFailed, "POST": admin.PathRetry + "?all=true"} {
				if w := get(method, path); w.Code != test.api {
					t.Errorf("%s: %d, want %d", path, w.Code, test.api)
				}
			}
			if w := get("GET", "/debug/pprof/symbol"); w.Code != test.profile {
				t.Errorf("profiles: %d, want %d", w.Code, test.profile)
			}
			// A form, by somebody who has got the token.
			page := from(h, "127.0.0.1:5", "GET", "/failed?reason=source_missing").Body.String()
			form := url.Values{"token": {tokenForm.FindStringSubmatch(page)[1]}, "reason": {"source_missing"}, "retry": {"all"}}
			r := httptest.NewRequest("POST", "/failed", strings.NewReader(form.Encode()))
			r.Header = test.header.Clone()
			if r.Header == nil {
				r.Header = http.Header{}
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			r.RemoteAddr, r.Host = test.remote, test.host
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if want := map[int]int{200: 303, 401: 401, 403: 403}[test.api]; w.Code != want {
				t.Errorf("a form: %d, want %d", w.Code, want)
			}
			for _, path := range []string{"/livez", "/metrics"} {
				if w := get("GET", path); w.Code != 200 {
					t.Errorf("%s: %d", path, w.Code)
				}
			}
			if asked := l.asked(); test.api != 200 {
				for _, c := range asked {
					if c.Do != "list" {
						t.Errorf("done: %v", c)
					}
				}
			}
		})
	}
}

func TestPageHeaders(t *testing.T) {
	base := start(t, pageOptions(t, &letters{}, pictures(t, "a", 0)))
	for _, path := range []string{"/", "/live", "/file?id=a", "/failed?reason=too_large", "/failed?reason=none", "/assets/live.js", "/nothing"} {
		got := ask(t, "GET", base+path, "", nil)
		policy := got.header.Get("Content-Security-Policy")
		for _, want := range []string{"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"} {
			if !strings.Contains(policy, want) {
				t.Errorf("%s: the policy %q lacks %s", path, policy, want)
			}
		}
		if strings.Contains(policy, "unsafe") || got.header.Get("X-Content-Type-Options") != "nosniff" || got.header.Get("Referrer-Policy") != "same-origin" {
			t.Errorf("%s: %v", path, got.header)
		}
	}
}

func TestStateLine(t *testing.T) {
	works := admin.State{StoreWorks: true}
	with := func(change func(*admin.State)) admin.State { s := works; change(&s); return s }
	for _, test := range []struct {
		state admin.State
		err   error
		ready error
		level string
		want  string
	}{
		{works, nil, nil, "ok", "Fine All done: everything that was announced is mirrored."},
		{with(func(s *admin.State) { s.Ready, s.InFlight, s.Delayed, s.Dead = 1200, 34, 5, 6 }), nil, nil, "busy", "Busy Mirroring: 1,234 snapshots to go."},
		{with(func(s *admin.State) { s.Events, s.Ready = 2, 1 }), nil, nil, "busy", "Busy Mirroring: 1 snapshot to go and 2 more events."},
		{with(func(s *admin.State) { s.Delayed, s.Dead = 1, 1 }), nil, nil, "wait", "Waiting 1 snapshot failed and waits for another try; all others are mirrored."},
		{with(func(s *admin.State) { s.Dead = 1 }), nil, nil, "wait", "Attention Done, except for 1 snapshot that has failed for good."},
		{admin.State{}, nil, nil, "bad", "Trouble The destination takes no pictures."},
		{admin.State{Ready: 1, Delayed: 2}, nil, nil, "bad", "Trouble The destination takes no pictures; 3 snapshots wait for it."},
		{works, nil, errors.New("the disk is full"), "bad", "Trouble No events can be taken now: the disk is full."},
		{works, errors.New("no answer"), nil, "bad", "Trouble Nothing is known of the queue: no answer."},
	} {
		o := pageOptions(t, &letters{}, pictures(t, "a"))
		o.State = func(context.Context) (admin.State, error) { return test.state, test.err }
		o.Ready = func(context.Context) error { return test.ready }
		page := ask(t, "GET", start(t, o)+"/", "", nil).body
		_, rest, _ := strings.Cut(page, `<div class="state `+test.level+`"`)
		line, _, found := strings.Cut(rest, "</div>")
		if got := textOf(t, `<div`+line); !found || got != test.want {
			t.Errorf("got %q, want %s, %q", got, test.level, test.want)
		}
	}
}

// A sheet is in the order of time, which is not that of keys, and in pages.
func TestSheet(t *testing.T) {
	offsets := make([]int, 60)
	for i := range offsets {
		offsets[i] = i * 500
	}
	d := pictures(t, "1", offsets...)
	putPicture(t, d, "1/x", func(o *store.Object) { o.Metadata = nil })                   // somebody else's
	putPicture(t, d, "12/0", func(o *store.Object) { o.Metadata["task-id"] = "another" }) // another video
	base := start(t, pageOptions(t, &letters{list: []mirror.Letter{named("a", letter("1", mirror.TooLarge)), named("b", letter("12", mirror.NotAnImage))}}, d))
	at := regexp.MustCompile(`class="at" aria-hidden="true">([^<]*)<`)
	var times []string
	for page := 1; page <= 2; page++ {
		body := ask(t, "GET", fmt.Sprintf("%s/file?id=+1+&page=%d", base, page), "", nil).body
		for _, m := range at.FindAllStringSubmatch(body, -1) {
			times = append(times, m[1])
		}
		if !strings.Contains(body, "61 pictures") || !strings.Contains(body, fmt.Sprintf("page %d of 2", page)) || strings.Contains(body, "another") {
			t.Errorf("page %d:\n%s", page, textOf(t, body))
		}
		if !strings.Contains(body, "too_large") || strings.Contains(body, "not_an_image") {
			t.Errorf("page %d does not tell what failed of this video:\n%s", page, textOf(t, body))
		}
		if page == 2 && !strings.Contains(body, "not put there by snapshot-mirror") {
			t.Error("a foreign object is not told of")
		}
	}
	var want []string
	for _, ms := range offsets {
		text := fmt.Sprintf("0:%02d", ms/1000)
		if ms%1000 != 0 {
			text += ".500"
		}
		want = append(want, text)
	}
	if diff := cmp.Diff(want, times); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
	body := ask(t, "GET", base+"/file?id=1", "", nil).body
	for _, want := range []string{"Definition10", "Key1/500", "Tasktask-1", "Size"} {
		if !strings.Contains(regexp.MustCompile(`\s+`).ReplaceAllString(textOf(t, body), ""), want) {
			t.Errorf("no %q in\n%s", want, textOf(t, body))
		}
	}
	for id, want := range map[string]string{"none": "No picture of this video", "": "Type a FileId", "a/b": "no video can have", strings.Repeat("x", 300): "that long", "..": "segment"} {
		if got := ask(t, "GET", base+"/file?id="+url.QueryEscape(id), "", nil); got.status != 200 || !strings.Contains(got.body, want) {
			t.Errorf("%.20q: %d, want %q in\n%s", id, got.status, want, textOf(t, got.body))
		}
	}
}

func TestPicture(t *testing.T) {
	d := pictures(t, "a", 0)
	putPicture(t, d, "a/html", func(o *store.Object) { o.ContentType, o.Metadata["time-offset"] = "text/html", "1" })
	putPicture(t, d, "a/svg", func(o *store.Object) { o.ContentType, o.Metadata["time-offset"] = "image/svg+xml", "1" })
	putPicture(t, d, "a/big", func(o *store.Object) { o.Body, o.Metadata["time-offset"] = make([]byte, 1001), "1" })
	putPicture(t, d, "a/foreign", func(o *store.Object) { o.Metadata = nil })
	putPicture(t, d, "a/webp", func(o *store.Object) { o.ContentType, o.Metadata["time-offset"] = "image/webp", "1" })
	base := start(t, pageOptions(t, &letters{}, d))
	for key, want := range map[string]int{
		"a/0": 200, "a/webp": 200, "a/1": 404, "": 404, "a": 404, "a/html": 404, "a/svg": 404, "a/big": 404, "a/foreign": 404, "../a/0": 404, "/a/0": 404, "a/../a/0": 404,
		"a%00": 404, ".snapshot-mirror/meta/a/0.json": 404, "a\\0": 404, "\x00": 404,
	} {
		got := ask(t, "GET", base+"/picture?key="+url.QueryEscape(key), "", nil)
		if got.status != want {
			t.Errorf("%q: %d, want %d", key, got.status, want)
		}
		if want == 200 && (got.header.Get("Content-Type") != map[string]string{"a/0": "image/jpeg", "a/webp": "image/webp"}[key] ||
			got.header.Get("Content-Security-Policy") != "default-src 'none'; sandbox" || got.header.Get("X-Content-Type-Options") != "nosniff" ||
			got.header.Get("Cache-Control") != "private, max-age=300" || got.body != "\xff\xd8\xff picture of "+key+"\xff\xd9") {
			t.Errorf("%q: %v, %q", key, got.header, got.body)
		}
	}
	tag := ask(t, "GET", base+"/picture?key=a/0", "", nil).header.Get("ETag")
	if got := ask(t, "GET", base+"/picture?key=a/0", "", http.Header{"If-None-Match": {tag}, "Host": {"127.0.0.1"}}); tag == "" || got.status != 304 || got.body != "" {
		t.Errorf("with the ETag %q: %d %q, want 304", tag, got.status, got.body)
	}
	if got := ask(t, "HEAD", base+"/picture?key=a/0", "", nil); got.status != 200 || got.body != "" {
		t.Errorf("HEAD: %d %q", got.status, got.body)
	}
	broken := pageOptions(t, &letters{}, d)
	broken.Pictures = brokenPictures{errors.New("secret of the store")}
	if got := ask(t, "GET", start(t, broken)+"/picture?key=a/0", "", nil); got.status != 503 || strings.Contains(got.body, "secret") {
		t.Errorf("%d %q, want 503", got.status, got.body)
	}
}

// Before the queue is open, the page says so.
func TestPageWithoutQueue(t *testing.T) {
	o := pageOptions(t, &letters{}, pictures(t, "a", 0))
	o.Letters = func() admin.Letters { return nil }
	o.State = func(context.Context) (admin.State, error) { return admin.State{}, errors.New("it is being opened") }
	base := start(t, o)
	for _, path := range []string{"/", "/failed?reason=too_large", "/file?id=a"} {
		if got := ask(t, "GET", base+path, "", nil); got.status != 200 || !strings.Contains(got.body, "it is being opened") {
			t.Errorf("%s: %d\n%s", path, got.status, textOf(t, got.body))
		}
	}
}

// There may be any number of dead letters: the page shows some of them, and asks for them seldom.
func TestManyDeadLetters(t *testing.T) {
	l := &letters{}
	for i := range 20_500 {
		l.list = append(l.list, named(fmt.Sprintf("x%d", i), letter(fmt.Sprint(i%7), mirror.SourceMissing)))
	}
	base := start(t, pageOptions(t, l, pictures(t, "a", 0)))
	for range 20 {
		page := ask(t, "GET", base+"/failed?reason=source_missing", "", nil).body
		if !strings.Contains(page, "at least 20,000 snapshots") || strings.Count(page, `name="id" value="x`) != 100 {
			t.Fatalf("%d letters are shown:\n%.3000s", strings.Count(page, `name="id" value="x`), textOf(t, page))
		}
	}
	if asked := l.asked(); len(asked) > 3 {
		t.Errorf("asked %d times", len(asked))
	}
}

// textOf is what a page says, without its elements.
func textOf(t *testing.T, page string) string {
	t.Helper()
	var b strings.Builder
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken:
			return b.String()
		case html.TextToken:
			b.WriteString(z.Token().Data)
		}
	}
}
