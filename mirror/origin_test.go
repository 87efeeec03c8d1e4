package mirror

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// The vectors of Tencent's documentation.
func TestHotlinkVectors(t *testing.T) {
	const key, dir, at, us = "24FEQmTzro4V5u3D5epW", "/dir1/dir2/", "5a71afc0", "72d4cd1101"
	for _, test := range []struct {
		parameters []string
		want       string
	}{
		{[]string{at, us}, "3d8488faeb37d52d6bf63b63c1b171c3"},
		{[]string{at, "3", us}, "c5214f0d5961b13acd558b4957c4dfc5"},
		{[]string{at, "300", us}, "547d98c4b91e81b5ea55c95cef63223f"},
	} {
		if got := hotlinkSign(key, dir, test.parameters...); got != test.want {
			t.Errorf("%q: %s, want %s", test.parameters, got, test.want)
		}
	}
}

func TestTarget(t *testing.T) {
	now := time.Unix(0x5a71afc0, 0).Add(-hotlinkValid)
	signed := func(dir string) string { return "t=5a71afc0&sign=" + hotlinkSign("key", dir, "5a71afc0") }
	hotlink := Origin{Hosts: []string{"*.vod2.myqcloud.com"}, HotlinkKey: "key"}
	const cdn = "http://1.vod2.myqcloud.com"
	for _, test := range []struct {
		name   string
		origin Origin
		raw    string
		want   string // "" is refused
	}{
		{"as it is", Origin{}, "http://H/%2f?a=%zz&sign=s", "http://H/%2f?a=%zz&sign=s"},
		{"a host", Origin{Hosts: []string{"a", "b"}}, "http://B:8080/x?y", "http://B:8080/x?y"},
		{"another host", Origin{Hosts: []string{"a", "b"}}, "http://c/x", ""},
		{"below a domain", Origin{Hosts: []string{"*.a.b"}}, "http://x.y.A.b/x", "http://x.y.A.b/x"},
		{"the domain itself", Origin{Hosts: []string{"*.a.b"}}, "http://a.b/x", ""},
		{"looks like the domain", Origin{Hosts: []string{"*.a.b"}}, "http://xa.b/x", ""},
		{"an address", Origin{Hosts: []string{"::1"}}, "http://[::1]/x", "http://[::1]/x"},
		{"rewritten", Origin{Rewrite: map[string]string{"old": "new:81"}}, "http://OLD/x?y", "http://new:81/x?y"},
		{"another port is another host", Origin{Rewrite: map[string]string{"old": "new"}}, "http://old:81/x", "http://old:81/x"},
		{"rewritten, then looked at", Origin{Rewrite: map[string]string{"old": "new"}, Hosts: []string{"new"}}, "http://old/x", "http://new/x"},
		{"https", Origin{HTTPS: true}, "http://h:80/x", "https://h/x"},
		{"https on a port", Origin{HTTPS: true}, "http://h:8080/x", "https://h:8080/x"},
		{"https already", Origin{HTTPS: true}, "https://h:80/x", "https://h:80/x"},
		{"signed", hotlink, cdn + "/a/b/1.jpg", cdn + "/a/b/1.jpg?" + signed("/a/b/")},
		{"signed at the root", hotlink, cdn + "/1.jpg", cdn + "/1.jpg?" + signed("/")},
		{"signed as it is sent", hotlink, cdn + "/a%20b/1.jpg", cdn + "/a%20b/1.jpg?" + signed("/a%20b/")},
		{"signed anew", hotlink, cdn + "/a/1.jpg?t=1&us=2&sign=3&x=4", cdn + "/a/1.jpg?" + signed("/a/") + "&x=4"},
		{"no path", hotlink, cdn, cdn + "?" + signed("")},
		{"not signed for strangers", hotlink, "http://vod2.myqcloud.com.evil/1.jpg", ""},
	} {
		got, err := test.origin.target(test.raw, now)
		if got != test.want || (err == nil) != (test.want != "") {
			t.Errorf("%s: %s, %v; want %s", test.name, got, err, test.want)
		}
		if f, ok := asFailure(err); err != nil && (!ok || f.Reason != SourceBlocked) {
			t.Errorf("%s: %v, want source_blocked", test.name, err)
		}
	}
}

// What may be a secret stays with the first host.
func TestHeadersOnRedirects(t *testing.T) {
	o := Origin{Referer: "http://mine/", Header: http.Header{"X-Token": {"hush"}}, Hosts: []string{"a", "b"}}
	request := func(raw string) *http.Request {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return &http.Request{URL: u, Header: http.Header{"Referer": {"http://a/1.jpg?sign=hush"}, "X-Token": {"hush"}}}
	}
	first := request("http://a/1.jpg?sign=hush")
	for _, test := range []struct{ to, referer, token, refused string }{
		{"http://a/2.jpg", "http://mine/", "hush", ""},
		{"http://b/2.jpg", "", "", ""},
		{"http://a:81/2.jpg", "", "", ""},
		{"http://c/2.jpg", "", "", `the source's host "c" is not one of --source-host`},
	} {
		req := request(test.to)
		err := o.checkRedirect(req, []*http.Request{first})
		if (err != nil) != (test.refused != "") || err != nil && !strings.Contains(err.Error(), test.refused) {
			t.Errorf("%s: %v", test.to, err)
		}
		if got := req.Header; got.Get("Referer") != test.referer || got.Get("X-Token") != test.token {
			t.Errorf("%s: %v", test.to, got)
		}
	}
}
