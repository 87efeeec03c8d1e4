package intake_test

import (
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

const (
	oldKey, newKey = "old-sign-key", "new-sign-key"
	pathSecret     = "path-secret"
	password       = "pass-word"
)

func signature(key, t string) string {
	sum := md5.Sum([]byte(key + t))
	return hex.EncodeToString(sum[:])
}

// The formula, once in figures that no code of ours made: printf %s old-sign-key1700000000 | md5sum.
func TestSignature(t *testing.T) {
	if got, want := signature(oldKey, "1700000000"), "01863d10bd853f93106e05f1a3d456e0"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

func prefixes(text ...string) []netip.Prefix {
	var list []netip.Prefix
	for _, p := range text {
		list = append(list, netip.MustParsePrefix(p))
	}
	return list
}

func TestAuth(t *testing.T) {
	in := func(d time.Duration) string { return strconv.FormatInt(time.Now().Add(d).Unix(), 10) }
	soon := in(10 * time.Minute)
	query := func(key, t string) string { return "/cb?Sign=" + signature(key, t) + "&T=" + t }
	withSign := func(sign, t string) string { return fmt.Sprintf(`{"Sign":%q,"T":%s,%s`, sign, t, event("a")[1:]) }
	signed := intake.Auth{SignKeys: []string{newKey, oldKey}}
	basic := intake.Auth{User: "vod", Password: password}
	secret := intake.Auth{PathSecret: pathSecret}
	here := intake.Auth{Networks: prefixes("10.0.0.0/8", "127.0.0.0/8")}
	all := intake.Auth{SignKeys: []string{newKey}, User: "vod", Password: password, PathSecret: pathSecret, Networks: here.Networks}
	allPath := "/cb/" + pathSecret + query(newKey, soon)[len("/cb"):]

	tests := []struct {
		name   string
		auth   intake.Auth
		path   string // with query
		login  string // user:password, or "" for none
		header http.Header
		body   string // event("a") when empty
		status int
	}{
		{name: "none", path: "/cb", status: 200},
		{name: "none, though given", path: query("x", "1"), login: "a:b", status: 200},

		{name: "sign in query", auth: signed, path: query(newKey, soon), status: 200},
		{name: "sign with the second key", auth: signed, path: query(oldKey, soon), status: 200},
		{name: "sign in body, T a string", auth: signed, path: "/cb", body: withSign(signature(newKey, soon), `"`+soon+`"`), status: 200},
		{name: "sign in body, T a number", auth: signed, path: "/cb", body: withSign(signature(newKey, soon), soon), status: 200},
		{name: "sign in body behind a byte order mark", auth: signed, path: "/cb", body: "\ufeff" + withSign(signature(newKey, soon), soon), status: 200},
		{name: "sign in body, something else in query", auth: signed, path: "/cb?T=1&Sign=2", body: withSign(signature(newKey, soon), soon), status: 200},
		{name: "sign in query, something else in body", auth: signed, path: query(newKey, soon), body: withSign("x", "1"), status: 200},
		{name: "sign in upper case", auth: signed, path: "/cb?Sign=" + strings.ToUpper(signature(newKey, soon)) + "&T=" + soon, status: 200},
		{name: "sign just expired", auth: signed, path: query(newKey, in(-40*time.Second)), status: 200},
		{name: "sign for a day", auth: signed, path: query(newKey, in(24*time.Hour-20*time.Second)), status: 200},
		{name: "sign missing", auth: signed, path: "/cb", status: 401},
		{name: "sign missing in garbage", auth: signed, path: "/cb", body: "garbage", status: 401},
		{name: "sign wrong", auth: signed, path: query("other", soon), status: 401},
		{name: "sign of another time", auth: signed, path: "/cb?Sign=" + signature(newKey, soon) + "&T=" + in(11*time.Minute), status: 401},
		{name: "sign cut", auth: signed, path: "/cb?Sign=" + signature(newKey, soon)[:30] + "&T=" + soon, status: 401},
		{name: "sign not hex", auth: signed, path: "/cb?Sign=zz&T=" + soon, status: 401},
		{name: "sign without T", auth: signed, path: "/cb?Sign=" + signature(newKey, ""), status: 401},
		{name: "sign of T no number", auth: signed, path: query(newKey, soon+"x"), status: 401},
		{name: "sign split over query and body", auth: signed, path: "/cb?Sign=" + signature(newKey, soon), body: withSign("", soon), status: 401},
		{name: "sign expired", auth: signed, path: query(newKey, in(-80*time.Second)), status: 401},
		{name: "sign expired in body", auth: signed, path: "/cb", body: withSign(signature(newKey, in(-80*time.Second)), in(-80*time.Second)), status: 401},
		{name: "sign far in the future", auth: signed, path: query(newKey, in(24*time.Hour+20*time.Second)), status: 401},
		{name: "sign at the end of time", auth: signed, path: query(newKey, "9223372036854775807"), status: 401},
		{name: "sign before all time", auth: signed, path: query(newKey, "-9223372036854775808"), status: 401},
		{name: "sign with an empty key", auth: intake.Auth{SignKeys: []string{""}}, path: query("", soon), status: 401},

		{name: "basic", auth: basic, path: "/cb", login: "vod:" + password, status: 200},
		{name: "basic missing", auth: basic, path: "/cb", status: 401},
		{name: "basic, wrong user", auth: basic, path: "/cb", login: "Vod:" + password, status: 401},
		{name: "basic, wrong password", auth: basic, path: "/cb", login: "vod:" + password + "x", status: 401},
		{name: "basic, no password", auth: basic, path: "/cb", login: "vod:", status: 401},
		{name: "basic, password only", auth: intake.Auth{Password: password}, path: "/cb", login: ":" + password, status: 200},
		{name: "basic, password only and wrong", auth: intake.Auth{Password: password}, path: "/cb", status: 401},
		{name: "basic, user only", auth: intake.Auth{User: "vod"}, path: "/cb", login: "vod:", status: 200},
		{name: "basic, user only and wrong", auth: intake.Auth{User: "vod"}, path: "/cb", status: 401},

		{name: "path secret", auth: secret, path: "/cb/" + pathSecret, status: 200},
		{name: "path secret missing", auth: secret, path: "/cb", status: 401},
		{name: "path secret empty", auth: secret, path: "/cb/", status: 401},
		{name: "path secret wrong", auth: secret, path: "/cb/other", status: 401},
		{name: "path secret and more", auth: secret, path: "/cb/" + pathSecret + "/", status: 401},
		{name: "path secret on another path", auth: secret, path: "/cc/" + pathSecret, status: 404},

		{name: "network", auth: here, path: "/cb", status: 200},
		{name: "network in IPv6 form", auth: intake.Auth{Networks: prefixes("::ffff:127.0.0.0/104")}, path: "/cb", status: 200},
		{name: "network wrong", auth: intake.Auth{Networks: prefixes("10.0.0.0/8", "::/0")}, path: "/cb", status: 403},
		{name: "network wrong, whatever is forwarded", auth: intake.Auth{Networks: prefixes("10.0.0.0/8")}, path: "/cb", status: 403, header: http.Header{
			"X-Forwarded-For": {"10.0.0.1"}, "Forwarded": {"for=10.0.0.1"}, "X-Real-Ip": {"10.0.0.1"}}},
		{name: "network right, whatever is forwarded", auth: here, path: "/cb", status: 200, header: http.Header{"X-Forwarded-For": {"8.8.8.8"}}},

		{name: "all", auth: all, path: allPath, login: "vod:" + password, status: 200},
		{name: "all but sign", auth: all, path: "/cb/" + pathSecret, login: "vod:" + password, status: 401},
		{name: "all but basic", auth: all, path: allPath, status: 401},
		{name: "all but path secret", auth: all, path: query(newKey, soon), login: "vod:" + password, status: 401},
		{name: "all but network", auth: func() intake.Auth { a := all; a.Networks = prefixes("10.0.0.0/8"); return a }(),
			path: allPath, login: "vod:" + password, status: 403},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			q := &recorder{}
			c, w := newCallback(q)
			c.Auth = test.auth
			if test.body == "" {
				test.body = event("a")
			}
			r := request(t, http.MethodPost, storetest.Serve(t, c)+test.path, strings.NewReader(test.body))
			maps.Copy(r.Header, test.header)
			if user, pass, given := strings.Cut(test.login, ":"); given {
				r.SetBasicAuth(user, pass)
			}
			got := send(t, r)
			if got.status != test.status {
				t.Errorf("status %d, want %d", got.status, test.status)
			}
			// All denials look the same, whatever was wrong.
			answers := map[int]string{200: `{"queued":1,"foreign":0}`, 401: "unauthorized", 403: "forbidden", 404: "not found"}
			if want := answers[test.status] + "\n"; got.body != want {
				t.Errorf("answer %q, want %q", got.body, want)
			}
			challenge := ""
			if test.status == 401 && (test.auth.User != "" || test.auth.Password != "") {
				challenge = `Basic realm="snapshot-mirror", charset="UTF-8"`
			}
			if got := got.header.Get("WWW-Authenticate"); got != challenge {
				t.Errorf("WWW-Authenticate: %q, want %q", got, challenge)
			}
			var queued []string
			var counted counts
			warnings := 0
			switch test.status {
			case 200:
				queued, counted = []string{"a@1"}, counts{"queued": 1}
			case 401, 403:
				counted, warnings = counts{"unauthorized": 1}, 1
			}
			if diff := cmp.Diff(q.all(), queued); diff != "" {
				t.Errorf("queued (-got +want):\n%s", diff)
			}
			if diff := cmp.Diff(w.counted(), counted); diff != "" {
				t.Errorf("counted (-got +want):\n%s", diff)
			}
			lines := w.lines(t, slog.LevelWarn)
			if len(lines) != warnings || (warnings == 1 && !strings.Contains(lines[0], "remote=127.0.0.1:")) {
				t.Errorf("warned %q, want %d with the address", lines, warnings)
			}
			for _, hidden := range []string{oldKey, newKey, pathSecret, password, signature(newKey, soon)} {
				if strings.Contains(fmt.Sprint(w.log.String(), got), hidden) {
					t.Errorf("%q is shown", hidden)
				}
			}
		})
	}
}

// Addresses that loopback can't have come as a server would give them.
func TestAuthNetworks(t *testing.T) {
	tests := []struct {
		remote string
		status int
	}{
		{"10.1.2.3:4", 200},
		{"[::ffff:10.1.2.3]:4", 200},
		{"[2001:db8::1]:4", 200},
		{"[fe80::1%eth0]:4", 200},
		{"11.1.2.3:4", 403},
		{"[::ffff:11.1.2.3]:4", 403},
		{"[2001:db9::1]:4", 403},
		{"@", 403}, // a Unix socket
		{"", 403},
		{"10.1.2.3", 403},
	}
	for _, test := range tests {
		t.Run(test.remote, func(t *testing.T) {
			c, _ := newCallback(&recorder{})
			c.Auth.Networks = append(prefixes("10.0.0.0/8", "2001:db8::/32", "fe80::/10"), netip.Prefix{})
			r := httptest.NewRequest(http.MethodPost, "/cb", strings.NewReader(event("a")))
			r.RemoteAddr = test.remote
			got := httptest.NewRecorder()
			c.ServeHTTP(got, r)
			if got.Code != test.status {
				t.Errorf("status %d, want %d", got.Code, test.status)
			}
		})
	}
}

// A stranger's body is not even read, and a stranger's requests don't fill the log.
func TestAuthBeforeBody(t *testing.T) {
	for name, auth := range map[string]intake.Auth{
		"network": {Networks: prefixes("10.0.0.0/8")}, "basic": {Password: password}, "path": {PathSecret: pathSecret},
	} {
		t.Run(name, func(t *testing.T) {
			c, w := newCallback(&recorder{})
			c.Auth = auth
			url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				r.Body = unreadable{t, r.Body}
				c.ServeHTTP(w, r)
			}))
			for range 20 {
				if got := post(t, url+"/cb", event("a")).status; got != 401 && got != 403 {
					t.Errorf("status %d", got)
				}
			}
			if got := w.counted()["unauthorized"]; got != 20 {
				t.Errorf("%d counted, want all 20", got)
			}
			if got := w.lines(t, slog.LevelWarn); len(got) != 1 {
				t.Errorf("warned %q, want one line", got)
			}
		})
	}
}

// unreadable is a body that the handler must leave alone. The server reads the original.
type unreadable struct {
	t *testing.T
	io.Closer
}

func (u unreadable) Read([]byte) (int, error) {
	u.t.Error("the body was read")
	return 0, net.ErrClosed
}

func TestAuthConfigured(t *testing.T) {
	for name, auth := range map[string]intake.Auth{
		"sign": {SignKeys: []string{oldKey}}, "user": {User: "u"}, "password": {Password: "p"}, "path": {PathSecret: "s"}, "networks": {Networks: prefixes("::/0")},
	} {
		if !auth.Configured() {
			t.Errorf("%s: not configured", name)
		}
	}
	if (intake.Auth{}).Configured() {
		t.Error("the zero Auth is configured")
	}
}
