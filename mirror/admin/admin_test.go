package admin_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
)

// call is one call of the dead letters' methods.
type call struct {
	Do     string
	Filter mirror.LetterFilter
}

// letters are dead letters in memory, which note what is asked of them. The fields are set before they are used.
type letters struct {
	list []mirror.Letter
	n    int   // how many a retry or a discard takes
	err  error // ends each method when it has done what is above

	mu    sync.Mutex
	calls []call
}

func (l *letters) note(do string, f mirror.LetterFilter) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls = append(l.calls, call{do, f})
}

func (l *letters) asked() []call {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.calls
}

func (l *letters) Dead(_ context.Context, f mirror.LetterFilter, visit func(mirror.Letter) error) error {
	l.note("list", f)
	for _, letter := range l.list {
		if !f.Matches(letter) {
			continue
		}
		if err := visit(letter); err != nil {
			return err
		}
	}
	return l.err
}

func (l *letters) Retry(_ context.Context, f mirror.LetterFilter) (int, error) {
	l.note("retry", f)
	return l.n, l.err
}

func (l *letters) Discard(_ context.Context, f mirror.LetterFilter) (int, error) {
	l.note("discard", f)
	return l.n, l.err
}

// options are those of a serve that is ready and has these dead letters. Its events are echoed.
func options(l *letters) admin.Options {
	return admin.Options{
		Ready:   func(context.Context) error { return nil },
		Metrics: prometheus.NewRegistry(),
		Letters: func() admin.Letters { return l },
		Events: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			l.note("events", mirror.LetterFilter{})
			_, _ = io.Copy(w, r.Body)
		}),
	}
}

func start(t *testing.T, o admin.Options) string {
	t.Helper()
	server := httptest.NewServer(admin.Handler(o))
	t.Cleanup(server.Close)
	return server.URL
}

type response struct {
	status int
	header http.Header
	body   string
}

// ask sends a request over a socket. A header called Host is the request's host.
func ask(t *testing.T, method, url, body string, header http.Header) response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if header != nil {
		r.Header, r.Host = header, header.Get("Host")
	}
	resp, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{resp.StatusCode, resp.Header, string(text)}
}

// from asks the handler itself, as somebody whom no test on one machine can be.
func from(h http.Handler, remote, method, path string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, "http://127.0.0.1:9090"+path, nil)
	r.RemoteAddr = remote
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

const stranger = "192.0.2.1:5"

// api is every request of the API that is not a profile.
var api = []struct{ method, path string }{
	{"GET", admin.PathFailed},
	{"POST", admin.PathRetry + "?all=true"},
	{"POST", admin.PathDiscard + "?all=true"},
	{"POST", admin.PathEvents},
}

// A process that waits for its queue must not be restarted for it.
func TestLivez(t *testing.T) {
	o := options(&letters{})
	o.Ready = func(context.Context) error { return errors.New("starting") }
	o.Letters = func() admin.Letters { return nil }
	if got := ask(t, "GET", start(t, o)+"/livez", "", nil); got.status != 200 || got.body != "ok\n" {
		t.Errorf("%d %q, want 200 and ok", got.status, got.body)
	}
}

func TestReadyz(t *testing.T) {
	for _, test := range []struct {
		err    error
		status int
		body   string
	}{
		{nil, 200, "ok\n"},
		{errors.New("the disk is full"), 503, "not ready: the disk is full\n"},
	} {
		o := options(&letters{})
		o.Ready = func(context.Context) error { return test.err }
		if got := ask(t, "GET", start(t, o)+"/readyz", "", nil); got.status != test.status || got.body != test.body {
			t.Errorf("%v: %d %q, want %d %q", test.err, got.status, got.body, test.status, test.body)
		}
	}
}

func TestMetrics(t *testing.T) {
	registry := prometheus.NewRegistry()
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "snapshot_mirror_test", Help: "For a test."})
	registry.MustRegister(gauge)
	gauge.Set(7)
	o := options(&letters{})
	o.Metrics = registry
	got := ask(t, "GET", start(t, o)+"/metrics", "", nil)
	if got.status != 200 || !strings.Contains(got.body, "\nsnapshot_mirror_test 7\n") {
		t.Errorf("%d, without the gauge:\n%s", got.status, got.body)
	}
}

// Orchestrators and Prometheus are elsewhere and call it by any name.
func TestHealthIsForEverybody(t *testing.T) {
	o := options(&letters{})
	url := start(t, o)
	for _, path := range []string{"/livez", "/readyz", "/metrics"} {
		if got := ask(t, "GET", url+path, "", http.Header{"Host": {"snapshots.example.com"}}); got.status != 200 {
			t.Errorf("%s by another name: status %d", path, got.status)
		}
		if got := from(admin.Handler(o), stranger, "GET", path); got.Code != 200 {
			t.Errorf("%s from another machine: status %d", path, got.Code)
		}
	}
}

// A page in a browser on this machine reaches the address by a name of its owner's, who then points that at 127.0.0.1.
func TestHost(t *testing.T) {
	for _, test := range []struct {
		host   string
		status int
	}{
		{"127.0.0.1", 200},
		{"127.0.0.1:9090", 200},
		{"127.8.8.8:9090", 200},
		{"localhost", 200},
		{"localhost:9090", 200},
		{"[::1]:9090", 200},
		{"[::ffff:127.0.0.1]:9090", 200},
		{"evil.example", 403},
		{"evil.example:9090", 403},
		{"127.0.0.1.evil.example:9090", 403},
		{"localhost.evil.example", 403},
		{"0.0.0.0:9090", 403},
		{"10.0.0.1:9090", 403},
		{"[::]:9090", 403},
		{"[::ffff:10.0.0.1]:9090", 403},
	} {
		t.Run(test.host, func(t *testing.T) {
			l := &letters{}
			got := ask(t, "GET", start(t, options(l))+admin.PathFailed, "", http.Header{"Host": {test.host}})
			if got.status != test.status || (len(l.asked()) > 0) != (test.status == 200) {
				t.Errorf("status %d, want %d; asked for %v", got.status, test.status, l.asked())
			}
		})
	}
}

// HTTP/1.0 knows requests that name no host.
func TestNoHost(t *testing.T) {
	r := httptest.NewRequest("GET", admin.PathFailed, nil)
	r.RemoteAddr, r.Host = "127.0.0.1:5", ""
	w := httptest.NewRecorder()
	admin.Handler(options(&letters{})).ServeHTTP(w, r)
	if w.Code != 403 {
		t.Errorf("status %d, want 403", w.Code)
	}
}

// The connection's own address counts.
func TestPeer(t *testing.T) {
	for _, test := range []struct {
		remote string
		status int
	}{
		{"127.0.0.1:5", 200},
		{"127.9.9.9:5", 200},
		{"[::1]:5", 200},
		{"[::ffff:127.0.0.1]:5", 200},
		{stranger, 403},
		{"[::ffff:192.0.2.1]:5", 403},
		{"[2001:db8::1]:5", 403},
		{"10.0.0.1:5", 403},
		{"0.0.0.0:5", 403},
		{"[::]:5", 403},
		{"127.0.0.1", 403}, // nothing that a TCP server says
		{"@", 403},         // a Unix socket
		{"", 403},
	} {
		t.Run(test.remote, func(t *testing.T) {
			l := &letters{}
			got := from(admin.Handler(options(l)), test.remote, "GET", admin.PathFailed)
			if got.Code != test.status || (len(l.asked()) > 0) != (test.status == 200) {
				t.Errorf("status %d, want %d; asked for %v", got.Code, test.status, l.asked())
			}
		})
	}
}

// Anybody can write into a header that it comes from here.
func TestForwardedPeer(t *testing.T) {
	for name, value := range map[string]string{
		"X-Forwarded-For": "127.0.0.1", "X-Real-Ip": "127.0.0.1", "Forwarded": "for=127.0.0.1", "X-Forwarded-Host": "127.0.0.1",
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1"+admin.PathFailed, nil)
		r.RemoteAddr = stranger
		r.Header.Set(name, value)
		w := httptest.NewRecorder()
		admin.Handler(options(&letters{})).ServeHTTP(w, r)
		if w.Code != 403 {
			t.Errorf("%s: status %d, want 403", name, w.Code)
		}
	}
}

// No part of the API is forgotten.
func TestAllOfTheAPIIsLocal(t *testing.T) {
	l := &letters{}
	o := options(l)
	o.PProf = true
	url := start(t, o)
	for _, request := range append(api, struct{ method, path string }{"GET", "/debug/pprof/"}) {
		if got := ask(t, request.method, url+request.path, "", http.Header{"Host": {"evil.example"}}); got.status != 403 {
			t.Errorf("%s by another name: status %d, want 403", request.path, got.status)
		}
		if got := from(admin.Handler(o), stranger, request.method, request.path); got.Code != 403 {
			t.Errorf("%s from another machine: status %d, want 403", request.path, got.Code)
		}
	}
	if asked := l.asked(); len(asked) > 0 {
		t.Errorf("strangers got through: %v", asked)
	}
}

// What a page of another site sends from a browser here has a proper host and comes from a proper peer.
func TestCrossSite(t *testing.T) {
	for _, test := range []struct {
		name   string
		header http.Header
		status int
	}{
		{"no browser", http.Header{}, 200},
		{"typed in", http.Header{"Sec-Fetch-Site": {"none"}}, 200},
		{"own page", http.Header{"Sec-Fetch-Site": {"same-origin"}, "Origin": {"http://127.0.0.1:9090"}}, 200},
		{"own page, old browser", http.Header{"Origin": {"http://127.0.0.1:9090"}}, 200},
		{"another site", http.Header{"Sec-Fetch-Site": {"cross-site"}, "Origin": {"https://evil.example"}}, 403},
		{"another site, no origin", http.Header{"Sec-Fetch-Site": {"cross-site"}}, 403},
		{"another port", http.Header{"Sec-Fetch-Site": {"same-site"}, "Origin": {"http://127.0.0.1:3000"}}, 403},
		{"another site, old browser", http.Header{"Origin": {"https://evil.example"}}, 403},
		{"another port, old browser", http.Header{"Origin": {"http://127.0.0.1:3000"}}, 403},
		{"a sandbox", http.Header{"Origin": {"null"}}, 403},
	} {
		t.Run(test.name, func(t *testing.T) {
			l := &letters{}
			url := start(t, options(l))
			test.header.Set("Host", "127.0.0.1:9090")
			for _, request := range api[1:] {
				if got := ask(t, request.method, url+request.path, "", test.header); got.status != test.status {
					t.Errorf("%s: status %d, want %d", request.path, got.status, test.status)
				}
			}
			if asked := l.asked(); test.status != 200 && len(asked) > 0 {
				t.Errorf("done all the same: %v", asked)
			}
		})
	}
}

func TestWrongMethod(t *testing.T) {
	l := &letters{}
	url := start(t, options(l))
	for _, test := range []struct{ method, path, allow string }{
		{"POST", admin.PathFailed, "GET, HEAD"},
		{"DELETE", admin.PathFailed, "GET, HEAD"},
		{"GET", admin.PathRetry + "?all=true", "POST"},
		{"GET", admin.PathDiscard + "?all=true", "POST"},
		{"PUT", admin.PathDiscard + "?all=true", "POST"},
		{"GET", admin.PathEvents, "POST"},
	} {
		got := ask(t, test.method, url+test.path, "", nil)
		if allow := got.header.Get("Allow"); got.status != 405 || allow != test.allow {
			t.Errorf("%s %s: status %d, allowed is %q, want 405 and %q", test.method, test.path, got.status, allow, test.allow)
		}
	}
	if asked := l.asked(); len(asked) > 0 {
		t.Errorf("done all the same: %v", asked)
	}
}

func TestEvents(t *testing.T) {
	l := &letters{}
	got := ask(t, "POST", start(t, options(l))+admin.PathEvents, `{"EventSet":[]}`, nil)
	if got.status != 200 || got.body != `{"EventSet":[]}` {
		t.Errorf("%d %q: the handler of events did not get the body", got.status, got.body)
	}
	if diff := cmp.Diff([]call{{Do: "events"}}, l.asked()); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestPProf(t *testing.T) {
	for _, test := range []struct {
		on     bool
		path   string
		status int
	}{
		{false, "/debug/pprof/", 404},
		{false, "/debug/pprof/goroutine?debug=1", 404},
		{false, "/debug/pprof/symbol", 404},
		{true, "/debug/pprof/", 200},
		{true, "/debug/pprof/goroutine?debug=1", 200},
		{true, "/debug/pprof/symbol", 200},
		{true, "/debug/pprof/cmdline", 404}, // secrets can be flags
	} {
		o := options(&letters{})
		o.PProf = test.on
		if got := ask(t, "GET", start(t, o)+test.path, "", nil); got.status != test.status {
			t.Errorf("%s, asked for: %v: status %d, want %d", test.path, test.on, got.status, test.status)
		}
	}
}

// bounded notes the deadlines that its request gets.
type bounded struct {
	*httptest.ResponseRecorder
	read, write time.Time
}

func (b *bounded) SetReadDeadline(t time.Time) error {
	b.read = t
	return nil
}

func (b *bounded) SetWriteDeadline(t time.Time) error {
	b.write = t
	return nil
}

// Strangers hold a connection for seconds only; a long list, or a profile, takes as long as it takes.
func TestDeadlines(t *testing.T) {
	for _, test := range []struct {
		remote, path string
		bound        bool
	}{
		{stranger, "/livez", true},
		{stranger, "/metrics", true},
		{stranger, admin.PathFailed, true},
		{"127.0.0.1:5", "/metrics", true},
		{"127.0.0.1:5", admin.PathFailed, false},
	} {
		r := httptest.NewRequest("GET", "http://127.0.0.1:9090"+test.path, nil)
		r.RemoteAddr = test.remote
		w := &bounded{ResponseRecorder: httptest.NewRecorder()}
		admin.Handler(options(&letters{})).ServeHTTP(w, r)
		for name, deadline := range map[string]time.Time{"reading": w.read, "writing": w.write} {
			if test.bound != !deadline.IsZero() || time.Until(deadline) > time.Minute {
				t.Errorf("%s from %s: the deadline for %s is %v", test.path, test.remote, name, deadline)
			}
		}
	}
}
