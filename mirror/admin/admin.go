// Package admin is how operators and orchestrators see and steer a running serve: health, metrics, the status page, the snapshots
// that failed.
package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/pprof"
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

// State is how full the queue is.
type State struct {
	// Events are not split into snapshots yet.
	Events uint64
	// Ready snapshots can be taken at once, Delayed ones wait for another try, Dead ones were given up, InFlight ones are being
	// worked on in this process.
	Ready, Delayed, Dead, InFlight uint64
	// Oldest is when what has been queued longest was queued; zero when nothing is.
	Oldest time.Time
	// StoreWorks says whether the destination took the last pictures that it was given.
	StoreWorks bool
}

// Options are what the admin address tells about.
type Options struct {
	// Ready says why an event can't be accepted durably now, or nil.
	Ready func(context.Context) error
	// Metrics are what /metrics shows.
	Metrics prometheus.Gatherer
	// Letters gives the dead letters, or nil while there is no queue yet.
	Letters func() Letters
	// State asks the queue.
	State func(context.Context) (State, error)
	// History is what the page tells of the last hour.
	History *History
	// Pictures are the mirrored ones, and Key is how they are called.
	Pictures Pictures
	Key      mirror.KeyTemplate
	// MaxImageSize is the largest picture that is shown, in bytes.
	MaxImageSize int64
	// Events takes events without the callback's authentication.
	Events http.Handler
	PProf  bool
	// Auth is what clients on other machines must know: "user:password", or a token. Without it they may look at the page.
	Auth string
	// Hosts are names by which the address is called, beside addresses and those of this machine.
	Hosts []string
	// To and Version say where pictures go, and what this is.
	To, Version string
}

// Paths of the API.
const (
	PathFailed  = "/api/v1/failed"
	PathRetry   = "/api/v1/failed/retry"
	PathDiscard = "/api/v1/failed/discard"
	PathEvents  = "/api/v1/events"
)

// Handler serves /livez, /readyz and /metrics to everybody. The API is for this machine and for those who authenticate: its answers
// hold URLs with their signatures, and its requests change what will be mirrored. The status page is theirs too; without any
// authentication, others may look at it. Profiles are for this machine only.
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
	who := access{o.Auth, o.Hosts}
	mux.Handle("/", newPages(o, who).handler())
	api := http.NewServeMux()
	f := failed{o.Letters}
	api.HandleFunc("GET "+PathFailed, f.list)
	api.HandleFunc("POST "+PathRetry, f.retry)
	api.HandleFunc("POST "+PathDiscard, f.discard)
	api.Handle("POST "+PathEvents, o.Events)
	mux.Handle("/api/", who.require(change, unbounded(http.NewCrossOriginProtection().Handler(api))))
	if o.PProf {
		profiles := http.NewServeMux()
		profiles.HandleFunc("/debug/pprof/", pprof.Index)
		profiles.HandleFunc("/debug/pprof/profile", pprof.Profile)
		profiles.HandleFunc("/debug/pprof/symbol", pprof.Symbol)
		profiles.HandleFunc("/debug/pprof/trace", pprof.Trace)
		mux.Handle("/debug/pprof/", who.require(ours, unbounded(http.NewCrossOriginProtection().Handler(profiles))))
	}
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

// unbounded lifts the bound: lists of failed snapshots and profiles take their time.
func unbounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		setDeadline(w, time.Time{})
		next.ServeHTTP(w, r)
	})
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
