package admin_test

import (
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

var tokenForm = regexp.MustCompile(`name="token" value="([^"]+)"`)

// token is what forms carry.
func token(t *testing.T, base string) string {
	t.Helper()
	m := tokenForm.FindStringSubmatch(ask(t, "GET", base+"/failed?reason=source_missing", "", nil).body)
	if m == nil {
		t.Fatal("no token")
	}
	return m[1]
}

// submit sends a form and does not follow what comes then.
func submit(t *testing.T, base string, form url.Values, header http.Header) (status int, location, body string) {
	t.Helper()
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	r, err := http.NewRequestWithContext(t.Context(), "POST", base+"/failed", strings.NewReader(form.Encode()))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header = header
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text := make([]byte, 64<<10)
	n, _ := resp.Body.Read(text)
	return resp.StatusCode, resp.Header.Get("Location"), string(text[:n])
}

// changes are the calls that change something.
func changes(l *letters) (out []call) {
	for _, c := range l.asked() {
		if c.Do != "list" {
			out = append(out, c)
		}
	}
	return out
}

func TestForm(t *testing.T) {
	const reason = "source_missing"
	for _, test := range []struct {
		form     url.Values
		want     []call
		location string
	}{
		{url.Values{"reason": {reason}, "retry": {"a-1"}}, []call{{"retry", mirror.LetterFilter{ID: "a-1"}}}, "/failed?reason=source_missing&retried=7"},
		{url.Values{"reason": {reason}, "discard": {"a-1"}, "id": {"b"}}, []call{{"discard", mirror.LetterFilter{ID: "a-1"}}}, "/failed?discarded=7&reason=source_missing"},
		{url.Values{"reason": {reason}, "retry": {"selected"}, "id": {"a", "b"}},
			[]call{{"retry", mirror.LetterFilter{ID: "a"}}, {"retry", mirror.LetterFilter{ID: "b"}}}, "/failed?reason=source_missing&retried=14"},
		{url.Values{"reason": {reason}, "discard": {"all"}}, []call{{"discard", mirror.LetterFilter{Reason: reason}}}, "/failed?discarded=7&reason=source_missing"},
		{url.Values{"file": {"a%26b"}, "retry": {"a"}}, []call{{"retry", mirror.LetterFilter{ID: "a"}}}, "/file?id=a%26b&retried=7"},
		{url.Values{"file": {"a"}, "retry": {"all"}}, []call{{"retry", mirror.LetterFilter{FileID: "a"}}}, "/file?id=a&retried=7"},
	} {
		l := &letters{n: 7, list: []mirror.Letter{named("a", letter("a", reason))}}
		base := start(t, pageOptions(t, l, pictures(t, "a")))
		test.form.Set("token", token(t, base))
		status, location, body := submit(t, base, test.form, nil)
		if status != http.StatusSeeOther || location != test.location {
			t.Errorf("%v: %d to %q, want %q: %s", test.form, status, location, test.location, body)
		}
		if diff := cmp.Diff(test.want, changes(l)); diff != "" {
			t.Errorf("%v (-want +got):\n%s", test.form, diff)
		}
		before := len(l.asked())
		done := ask(t, "GET", base+location, "", nil).body
		if len(l.asked()) == before {
			t.Error("the list is as it was before")
		}
		if !strings.Contains(done, "snapshots were") {
			t.Errorf("%s does not say what was done", location)
		}
	}
}

// What is not understood, or not from a page of ours, does nothing.
func TestFormRefused(t *testing.T) {
	const reason = "source_missing"
	good := url.Values{"reason": {reason}, "retry": {"a"}}
	with := func(name string, values ...string) url.Values {
		form := url.Values{}
		for n, v := range good {
			form[n] = v
		}
		form[name] = values
		return form
	}
	for _, test := range []struct {
		name   string
		form   url.Values
		token  string // "" is the right one
		header http.Header
		status int
	}{
		{"no token", good, "-", nil, 403},
		{"another token", good, "AAAAAAAAAAAAAAAAAAAAAAAAAA", nil, 403},
		{"another site", good, "", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"another site, old browser", good, "", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"a sandbox", good, "", http.Header{"Origin": {"null"}}, 403},
		{"no such reason", with("reason", "gone"), "", nil, 400},
		{"neither reason nor file", with("reason", ""), "", nil, 400},
		{"both buttons", with("discard", "a"), "", nil, 400},
		{"no button", with("retry"), "", nil, 400},
		{"two values", with("retry", "a", "b"), "", nil, 400},
		{"an empty id", with("retry", ""), "", nil, 400},
		{"a wildcard", with("retry", "*"), "", nil, 400},
		{"nothing selected", with("retry", "selected"), "", nil, 400},
		{"too large", with("x", strings.Repeat("x", 70<<10)), "", nil, 400},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &letters{n: 7, list: []mirror.Letter{named("a", letter("a", reason))}}
			base := start(t, pageOptions(t, l, pictures(t, "a")))
			form := url.Values{"token": {token(t, base)}}
			if test.token != "" {
				form.Set("token", test.token)
			}
			for name, values := range test.form {
				form[name] = values
			}
			if status, location, _ := submit(t, base, form, test.header); status != test.status || location != "" {
				t.Errorf("%d to %q, want %d", status, location, test.status)
			}
			if done := changes(l); len(done) > 0 {
				t.Errorf("done: %v", done)
			}
		})
	}
}

// What was done before it failed was done, and is told.
func TestFormThatFails(t *testing.T) {
	l := &letters{n: 2, list: []mirror.Letter{named("a", letter("a", mirror.SourceMissing))}}
	base := start(t, pageOptions(t, l, pictures(t, "a")))
	form := url.Values{"token": {token(t, base)}, "reason": {"source_missing"}, "retry": {"all"}}
	l.err = errors.New("the queue is <b>away</b>")
	if status, _, body := submit(t, base, form, nil); status != 503 || !strings.Contains(body, "2 were done, then: the queue is &lt;b&gt;away") {
		t.Errorf("%d\n%s", status, body)
	}
}
