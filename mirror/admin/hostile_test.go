package admin_test

import (
	"context"
	"errors"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"golang.org/x/net/html"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/store"
)

// The texts of strangers, in every place where one can stand.
var hostile = []string{
	`<script>alert(1)</script>`,
	`"><img src=x onerror=alert(1)>`,
	`' onmouseover='alert(1)`,
	`javascript:alert(1)`,
	`{{.Token}}${alert(1)}`,
	`&lt;i&gt;&#0;`,
	`--></title></style></textarea><b>`,
	"\u202egnp.exe\u202c \u2066\u2069\u200f\u061c",
	"\x00\x07\x1b[2J\r\n\t\x7f\u0085\u2028\ufeff\U000E0041",
	"\xff\xfe\xc3",
	"שָׁלוֹם العربية",
	strings.Repeat("long ", 2000),
}

func TestHostileText(t *testing.T) {
	for _, text := range hostile {
		now := time.Now()
		l := &letters{list: []mirror.Letter{{
			Snapshot: mirror.Snapshot{FileID: text, TimeOffset: -1, TaskID: text, URL: "http://" + text + "/" + text + "?sign=hush"},
			ID:       "a-1", Reason: mirror.BadSnapshot, Error: text, First: now, Last: now, Attempts: 1,
		}, {
			Snapshot: mirror.Snapshot{FileID: text, TimeOffset: 1e300, TaskID: text, URL: "http://h/" + text + "?sign=hush#hush"},
			ID:       "a-2", Reason: mirror.BadSnapshot, Error: text, First: now, Last: now, Attempts: 1,
		}, {
			Snapshot: mirror.Snapshot{FileID: text, URL: "http://user:hush@h:" + text + "hush"},
			ID:       "a-3", Reason: mirror.BadSnapshot, Error: text, First: now, Last: now, Attempts: 1,
		}}}
		d := pictures(t, "plain", 0)
		putPicture(t, d, "plain/1", func(o *store.Object) {
			o.Metadata["task-id"] = url.PathEscape(text)[:min(len(url.PathEscape(text)), 900)/3*3]
		})
		if key := text + "/0"; store.CheckKey(key) == nil && !strings.Contains(text, "/") && len(text) < 200 {
			putPicture(t, d, key, nil)
		}
		o := pageOptions(t, l, d)
		o.To = text
		o.History.Add(mirror.Result{Snapshot: mirror.Snapshot{FileID: text, TaskID: text, URL: "hush"}, Key: text, Outcome: mirror.Mirrored})
		addresses := []string{"/", "/live", "/failed?reason=bad_snapshot", "/file?id=plain", "/file?id=" + url.QueryEscape(text), "/failed?reason=" + url.QueryEscape(text),
			"/file?id=plain&retried=" + url.QueryEscape(text), "/file?id=plain&retried=1&more=" + url.QueryEscape(text)}
		listed := o
		listed.Pictures = strangePictures{d, text}
		for _, o := range []admin.Options{o, listed, withTroubles(o, text)} {
			base := start(t, o)
			for _, address := range addresses {
				got := ask(t, "GET", base+address, "", nil)
				wantTame(t, address+" with "+text[:min(len(text), 30)], got.body)
			}
		}
		shown := ask(t, "GET", start(t, o)+"/failed?reason=bad_snapshot", "", nil).body
		if plain := !strings.ContainsFunc(text, func(r rune) bool { return r > '~' || r < ' ' }); plain && !strings.Contains(textOf(t, shown), text[:min(len(text), 200)]) {
			t.Errorf("%q is not shown as text", text)
		}
	}
}

// withTroubles has everything fail with a text.
func withTroubles(o admin.Options, text string) admin.Options {
	err := errors.New(text)
	o.Ready = func(context.Context) error { return err }
	o.State = func(context.Context) (admin.State, error) { return admin.State{}, err }
	o.Letters = func() admin.Letters { return &letters{err: err} }
	o.Pictures = brokenPictures{err}
	return o
}

// strangePictures are called as strangers like.
type strangePictures struct {
	admin.Pictures
	key string
}

func (s strangePictures) List(context.Context, string, string, int) ([]store.Entry, error) {
	return []store.Entry{{Key: s.key}, {Key: "plain/" + s.key}, {Key: "plain/0"}}, nil
}

type brokenPictures struct{ err error }

func (b brokenPictures) Head(context.Context, string) (store.Info, error)     { return store.Info{}, b.err }
func (b brokenPictures) Open(context.Context, string) (*store.Reading, error) { return nil, b.err }
func (b brokenPictures) List(context.Context, string, string, int) ([]store.Entry, error) {
	return nil, &store.Error{Kind: store.Denied, Op: "listing", Key: b.err.Error(), Err: b.err, Hint: b.err.Error()}
}

// ourElements are all that templates use.
var ourElements = regexp.MustCompile(`^(html|head|meta|title|link|script|body|a|header|img|form|label|input|button|div|p|span|strong|bdi|main|h1|h2|h3|section|dl|dt|dd|ul|li|figure|figcaption|b|svg|line|rect|article|code|details|summary|footer|time|nav)$`)

// wantTame sees that a page holds nothing but our elements, no handlers, no addresses of others, no character without a shape, and
// no secret.
func wantTame(t *testing.T, where, page string) {
	t.Helper()
	if i := strings.IndexFunc(page, func(r rune) bool { return r != '\n' && !unicode.IsPrint(r) || r == unicode.ReplacementChar }); i >= 0 {
		t.Errorf("%s: a character without a shape: %q", where, page[max(0, i-30):min(len(page), i+30)])
	}
	if strings.Contains(page, "hush") {
		t.Errorf("%s: a secret is shown", where)
	}
	scripts := 0
	for z := html.NewTokenizer(strings.NewReader(page)); z.Next() != html.ErrorToken; {
		token := z.Token()
		if token.Type != html.StartTagToken && token.Type != html.SelfClosingTagToken {
			if token.Type == html.CommentToken {
				t.Errorf("%s: a comment %q", where, token.Data)
			}
			continue
		}
		if !ourElements.MatchString(token.Data) {
			t.Errorf("%s: an element %q", where, token.Data)
		}
		if token.Data == "script" {
			scripts++
		}
		for _, a := range token.Attr {
			switch {
			case strings.HasPrefix(a.Key, "on"), a.Key == "style", a.Key == "srcdoc":
				t.Errorf("%s: %s has an attribute %s", where, token.Data, a.Key)
			case a.Key == "href", a.Key == "src", a.Key == "action":
				if !strings.HasPrefix(a.Val, "/") && !strings.HasPrefix(a.Val, "#") || strings.HasPrefix(a.Val, "//") {
					t.Errorf("%s: %s leads to %q", where, token.Data, a.Val)
				}
			}
		}
	}
	if scripts > 1 {
		t.Errorf("%s: %d scripts", where, scripts)
	}
}
