// Package admin is how operators and orchestrators see and steer a running serve: health, metrics, the snapshots that failed.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/http/pprof"
	"net/netip"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Letters are the dead letters. The methods are safe for concurrent use.
type Letters interface {
	// Dead visits those that the filter chooses, oldest first.
	Dead(context.Context, mirror.LetterFilter, func(mirror.Letter) error) error
	// Retry puts them back into the queue, Discard drops them; both say how many.
	Retry(context.Context, mirror.LetterFilter) (int, error)
	Discard(context.Context, mirror.LetterFilter) (int, error)
}

// Options are what the admin address tells about.
type Options struct {
	// Ready says why an event can't be accepted durably now, or nil.
	Ready func(context.Context) error
	// Metrics are what /metrics shows.
	Metrics prometheus.Gatherer
	// Letters gives the dead letters, or nil while there is no queue yet.
	Letters func() Letters
	// Events takes events without the callback's authentication.
	Events http.Handler
	PProf  bool
}

// Paths of the API.
const (
	PathFailed  = "/api/v1/failed"
	PathRetry   = "/api/v1/failed/retry"
	PathDiscard = "/api/v1/failed/discard"
	PathEvents  = "/api/v1/events"
)

// Handler serves /livez, /readyz and /metrics to everybody, and the API to this machine only: its answers hold URLs with their
// signatures, and its requests change what will be mirrored.
func Handler(o Options) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /livez", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := o.Ready(r.Context()); err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ok")
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(o.Metrics, promhttp.HandlerOpts{MaxRequestsInFlight: 4}))
	local := http.NewServeMux()
	f := failed{o.Letters}
	local.HandleFunc("GET "+PathFailed, f.list)
	local.HandleFunc("POST "+PathRetry, f.retry)
	local.HandleFunc("POST "+PathDiscard, f.discard)
	local.Handle("POST "+PathEvents, o.Events)
	if o.PProf {
		local.HandleFunc("/debug/pprof/", pprof.Index)
		local.HandleFunc("/debug/pprof/profile", pprof.Profile)
		local.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		local.HandleFunc("/debug/pprof/trace", pprof.Trace)
	}
	mux.Handle("/", localOnly(http.NewCrossOriginProtection().Handler(local)))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setDeadline(w, time.Now().Add(publicTimeout))
		mux.ServeHTTP(w, r)
	})
}

// publicTimeout is for a request of whoever can reach the address: nobody holds a scrape for long.
const publicTimeout = 10 * time.Second

// setDeadline bounds a request and its answer; the zero time lifts the bound. Where a server knows no deadlines, its own must do.
func setDeadline(w http.ResponseWriter, t time.Time) {
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(t)
	_ = control.SetWriteDeadline(t)
}

// localOnly lets through what comes from this machine and means it: a page in a browser here could come by a name that its owner
// has pointed at 127.0.0.1.
func localOnly(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() || !loopbackHost(r.Host) {
			http.Error(w, "only for this machine: ask 127.0.0.1", http.StatusForbidden)
			return
		}
		setDeadline(w, time.Time{}) // lists of failed snapshots and profiles take their time
		next.ServeHTTP(w, r)
	})
}

func loopbackHost(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	ip, err := netip.ParseAddr(strings.Trim(host, "[]"))
	return host == "localhost" || err == nil && ip.Unmap().IsLoopback()
}

// Count is the answer to a retry or a discard.
type Count struct {
	Count int    `json:"count"`
	Error string `json:"error,omitempty"` // when it ended early
}

func answer(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}
