package config_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/config"
)

func TestHosts(t *testing.T) {
	for _, test := range []struct{ in, want, err string }{
		{"a.example.com", "[a.example.com]", ""},
		{" a.example.com , *.vod2.myqcloud.com", "[a.example.com *.vod2.myqcloud.com]", ""},
		{"192.0.2.7,::1", "[192.0.2.7 ::1]", ""},
		{"", "", `"" is not a host`}, // nothing must not become any
		{"a,", "", `"" is not a host`},
		{"*", "", `"*" is not a host`},
		{"*.", "", `"*." is not a host`},
		{"*.192.0.2.7", "", "is not a host"},
		{"a:80", "", "is not a host"},
		{"http://a", "", "is not a host"},
		{"a b", "", "is not a host"},
		{"a.*.b", "", "is not a host"},
	} {
		got := config.Hosts{"left over"}
		err := got.UnmarshalText([]byte(test.in))
		wantSays(t, test.in, err, test.err)
		if text := fmt.Sprint(got); err == nil && text != test.want {
			t.Errorf("%q: %s, want %s", test.in, text, test.want)
		}
	}
}

func TestRewrites(t *testing.T) {
	for _, test := range []struct {
		in   string
		want config.Rewrites
		err  string
	}{
		{"Old=new", config.Rewrites{"old": "new"}, ""},
		{"old=new:8080, a:81=b", config.Rewrites{"old": "new:8080", "a:81": "b"}, ""},
		{"", nil, "is not OLD=NEW"},
		{"old", nil, "is not OLD=NEW"},
		{"old=", nil, "is not OLD=NEW"},
		{"=new", nil, "is not OLD=NEW"},
		{"*.old=new", nil, "is not OLD=NEW"},
		{"old=http://new", nil, "is not OLD=NEW"},
		{"old=new:", nil, "is not OLD=NEW"},
		{"old=new:x", nil, "is not OLD=NEW"},
	} {
		got := config.Rewrites{"left": "over"}
		err := got.UnmarshalText([]byte(test.in))
		wantSays(t, test.in, err, test.err)
		if diff := cmp.Diff(test.want, got); err == nil && diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
	}
}

func TestHeaders(t *testing.T) {
	for _, test := range []struct {
		in   string
		want http.Header
		err  string
	}{
		{"x-token: hush", http.Header{"X-Token": {"hush"}}, ""},
		{"X-Token:hush:1\nCookie: a=hush; b=2\n", http.Header{"X-Token": {"hush:1"}, "Cookie": {"a=hush; b=2"}}, ""},
		{"X: hush\nX: 2", http.Header{"X": {"hush", "2"}}, ""},
		{"", nil, "Name: value"},
		{"hush", nil, "Name: value"},
		{"X Token: hush", nil, "Name: value"},
		{"X-Token: hush\x01", nil, "Name: value"},
		{"X-Token: hush\rX: 1", nil, "Name: value"},
		{"host: hush", nil, "the header Host can't be set"},
		{"accept-encoding: gzip", nil, "the header Accept-Encoding can't be set"},
		{"Range: bytes=0-1", nil, "the header Range can't be set"},
	} {
		var got config.Headers
		err := got.UnmarshalText([]byte(test.in))
		wantSays(t, test.in, err, test.err)
		if diff := cmp.Diff(test.want, got.Reveal()); err == nil && diff != "" {
			t.Errorf("%q (-want +got):\n%s", test.in, diff)
		}
		if text := fmt.Sprintf("%v %+v %#v %s %q", got, got, got, got, got); strings.Contains(text, hush) {
			t.Errorf("printed: %s", text)
		}
	}
}

func TestOriginSettings(t *testing.T) {
	for _, test := range []struct {
		args []string
		err  string
	}{
		{[]string{"--hotlink-key=hush", "--source-host=a"}, ""},
		{[]string{"--hotlink-key=hush"}, "--hotlink-key wants --source-host"},
		{[]string{"--source-referer=http://mine/\r\nX: hush"}, "--source-referer holds control characters"},
	} {
		s, err := load(t, nil, "", test.args...)
		if err == nil {
			err = s.Source.Validate()
		}
		wantSays(t, fmt.Sprint(test.args), err, test.err)
	}
}

// A proxy's URL may hold a password, which is not printed, in an error neither.
func TestProxyURL(t *testing.T) {
	for _, good := range []string{"http://proxy:3128", "https://user:hush@proxy", "socks5://127.0.0.1:1080"} {
		var p config.ProxyURL
		if err := p.UnmarshalText([]byte(good)); err != nil || p.Reveal().String() != good {
			t.Errorf("%s: %v, %v", good, p.Reveal(), err)
		}
		if text := fmt.Sprintf("%v %+v %#v %s", p, p, p, &p); strings.Contains(text, "hush") || strings.Contains(text, "proxy:") {
			t.Errorf("%s is printed as %s", good, text)
		}
	}
	for _, bad := range []string{"", "proxy:3128", "http://", "ftp://hush@proxy", "http://user:hush@proxy/path", "http://user:hush@proxy:x", "http://user:hush@proxy?q"} {
		var p config.ProxyURL
		if err := p.UnmarshalText([]byte(bad)); err == nil || strings.Contains(err.Error(), "hush") {
			t.Errorf("%q: %v", bad, err)
		}
	}
}
