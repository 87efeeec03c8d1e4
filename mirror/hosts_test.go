package mirror

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// sink is a store that costs nothing: these tests measure how fetches share the workers.
type sink struct{}

func (sink) Head(context.Context, string) (store.Info, error) { return store.Info{}, store.ErrNotFound }
func (sink) Put(context.Context, store.Object) error          { return nil }
func (sink) Excludes() bool                                   { return false }

func newSinkWorker(t *testing.T, o Options) *Worker {
	t.Helper()
	o.AllowPrivateSources = true
	w, err := New(sink{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

// snapshotsOf gives n snapshots at a URL, whose file ids begin with name.
func snapshotsOf(name, url string, n int) []Snapshot {
	out := make([]Snapshot, n)
	for i := range out {
		out[i] = Snapshot{FileID: fmt.Sprintf("%s%d", name, i), Definition: 10, TaskID: "t", URL: url}
	}
	return out
}

func inTurn(a, b []Snapshot) []Snapshot {
	var out []Snapshot
	for i := range max(len(a), len(b)) {
		out = append(append(out, a[min(i, len(a)):min(i+1, len(a))]...), b[min(i, len(b)):min(i+1, len(b))]...)
	}
	return out
}

func sourceOf(all []Snapshot) <-chan Snapshot {
	source := make(chan Snapshot, len(all))
	for _, s := range all {
		source <- s
	}
	close(source)
	return source
}

// batchUntil works until n snapshots of the name are mirrored, and says how long that took. The rest is broken off.
func batchUntil(t *testing.T, w *Worker, all []Snapshot, name string, n int) time.Duration {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	begin := time.Now()
	var took time.Duration
	err := w.Batch(ctx, ctx, sourceOf(all), func(r Result) error {
		if strings.HasPrefix(r.Snapshot.FileID, name) && r.Outcome == Mirrored {
			if n--; n == 0 {
				took = time.Since(begin)
				cancel()
			}
		}
		return nil
	})
	if n != 0 {
		t.Fatalf("%d snapshots of the healthy host are left: %v", n, err)
	}
	return took
}

// gauge counts what is under way.
type gauge struct{ now, most atomic.Int64 }

func (g *gauge) enter() {
	n := g.now.Add(1)
	for most := g.most.Load(); n > most && !g.most.CompareAndSwap(most, n); most = g.most.Load() {
	}
}

func (g *gauge) leave() { g.now.Add(-1) }

// A host that never answers has its share of the workers and no more, whether its snapshots come among the others' or before them.
func TestStalledHost(t *testing.T) {
	const n, concurrency = 1000, 32
	healthy := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		time.Sleep(30 * time.Millisecond) // a network's
		_, _ = io.WriteString(w, jpegText)
	}))
	o := Options{Concurrency: concurrency, SourceRetries: 2}
	good := snapshotsOf("good", healthy, n)
	alone := batchUntil(t, newSinkWorker(t, o), good, "good", n)
	for order, mix := range map[string]func(bad, good []Snapshot) []Snapshot{
		"in turn":                  inTurn,
		"the stalled host's first": func(bad, good []Snapshot) []Snapshot { return append(bad, good...) },
	} {
		var stalling gauge
		stalled := storetest.Serve(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
			stalling.enter()
			defer stalling.leave()
			<-r.Context().Done()
		}))
		took := batchUntil(t, newSinkWorker(t, o), mix(snapshotsOf("bad", stalled, n), good), "good", n)
		ratio := float64(took) / float64(alone)
		t.Logf("%s: %s, alone %s: ratio %.2f", order, took.Round(time.Millisecond), alone.Round(time.Millisecond), ratio)
		if ratio > 5 { // 1.15 on a quiet machine; with all workers in the stalled host's hands, 15 and more
			t.Errorf("%s: the healthy host takes %.1f times as long as alone", order, ratio)
		}
		if most := stalling.most.Load(); most == 0 || most > concurrency/8 {
			t.Errorf("%s: %d fetches of the stalled host at once, want at most %d", order, most, concurrency/8)
		}
	}
}

// A host that has worked well and has all workers stalls in the middle: a byte that does not come frees the worker.
func TestHostThatStallsLater(t *testing.T) {
	healthy := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, jpegText) }))
	var asked atomic.Int64
	var stalling gauge
	stalled := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if asked.Add(1) <= 100 {
			_, _ = io.WriteString(w, jpegText)
			return
		}
		stalling.enter()
		defer stalling.leave()
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, jpegText)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	bad, good := snapshotsOf("bad", stalled, 600), snapshotsOf("good", healthy, 100)
	source := make(chan Snapshot, len(bad)+len(good))
	for _, s := range bad[:100] {
		source <- s
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n, begin := 0, time.Now()
	_ = newSinkWorker(t, Options{Concurrency: 8, IdleTimeout: time.Minute}).Batch(ctx, ctx, source, func(r Result) error {
		switch n++; n {
		case 100:
			for _, s := range append(bad[100:], good...) {
				source <- s
			}
		case 200:
			cancel()
		}
		return nil
	})
	if most, took := stalling.most.Load(), time.Since(begin); n != 200 || most != 8 || took > 20*time.Second {
		t.Errorf("%d results, %d fetches stalled at once, and it took %s; want all 8, and far less than the idle time-out", n, most, took)
	}
}

// Bodies that are announced large and never come leave half of the memory to others.
func TestStalledBodiesLeaveMemory(t *testing.T) {
	var stalling gauge
	stalled := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		stalling.enter()
		w.Header().Set("Content-Length", "1000")
		_, _ = io.WriteString(w, jpegText)
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	}))
	healthy := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, jpegText) }))
	w := newSinkWorker(t, Options{Concurrency: 64, MaxImageSize: 1000, BytesInFlight: 2000, IdleTimeout: time.Minute})
	batchUntil(t, w, append(snapshotsOf("bad", stalled, 20), snapshotsOf("good", healthy, 20)...), "good", 20)
	if stalling.most.Load() < 3 {
		t.Error("the stalled host was not asked for more than the memory holds")
	}
}

// fakeNet answers requests in the bubble of a test, where time costs nothing.
func fakeNet(w *Worker, answer func(*http.Request) (*http.Response, error)) {
	w.fetcher.client = &http.Client{Transport: roundTrip(answer)}
}

func whole() *http.Response {
	return &http.Response{StatusCode: 200, ContentLength: int64(len(jpegText)), Body: io.NopCloser(strings.NewReader(jpegText)), Header: http.Header{}}
}

func code(n int) *http.Response {
	return &http.Response{StatusCode: n, Body: http.NoBody, Header: http.Header{}}
}

// A single host, as most have, gets all workers within a few round trips.
func TestOneHostGetsAll(t *testing.T) {
	for _, most := range []int{0, 5} {
		synctest.Test(t, func(t *testing.T) {
			w := newSinkWorker(t, Options{Concurrency: 32, HostConcurrency: most})
			var under gauge
			fakeNet(w, func(*http.Request) (*http.Response, error) {
				under.enter()
				defer under.leave()
				time.Sleep(3 * time.Second) // slow, and longer than a stall
				return whole(), nil
			})
			begin, n := time.Now(), 0
			err := w.Batch(t.Context(), t.Context(), sourceOf(snapshotsOf("x", "http://h/", 320)), func(Result) error { n++; return nil })
			want := int64(32)
			if most > 0 {
				want = int64(most)
			}
			ideal := time.Duration(320/want) * 3 * time.Second
			if got := under.most.Load(); err != nil || n != 320 || got != want || time.Since(begin) > ideal+12*time.Second {
				t.Errorf("%d results, %d at once in %s (%v); want %d at once and some %s", n, got, time.Since(begin), err, want, ideal)
			}
		})
	}
}

// How a host fares that is in trouble for a while, or for ever, in a backfill: the snapshots wait for it within reason, and their
// reasons and attempts are true.
func TestHostInTrouble(t *testing.T) {
	tests := []struct {
		name    string
		alive   time.Duration // from the start
		trouble time.Duration
		answer  func() (*http.Response, error)
		n       int
		want    map[string]int // outcomes with reasons
		within  time.Duration
		asked   [2]int64 // least and most requests
	}{
		{"503 for a minute", 200 * time.Millisecond, time.Minute, func() (*http.Response, error) { return code(503), nil }, 500,
			map[string]int{"mirrored ": 500}, 3 * time.Minute, [2]int64{508, 560}},
		{"503 for a minute from the start", 0, time.Minute, func() (*http.Response, error) { return code(503), nil }, 500,
			map[string]int{"mirrored ": 500}, 3 * time.Minute, [2]int64{508, 560}},
		{"away for 4 minutes", 200 * time.Millisecond, 4 * time.Minute, func() (*http.Response, error) { return nil, io.ErrUnexpectedEOF }, 500,
			map[string]int{"mirrored ": 500}, 7 * time.Minute, [2]int64{508, 560}},
		{"away for ever", 0, 1000 * time.Hour, func() (*http.Response, error) { return nil, errors.New("connection refused") }, 3000,
			map[string]int{"failed source_unreachable": 3000}, time.Minute, [2]int64{8, 40}},
		{"429 for ever", 0, 1000 * time.Hour, func() (*http.Response, error) { return code(429), nil }, 3000,
			map[string]int{"failed source_busy": 3000}, 6 * time.Minute, [2]int64{8, 60}},
		{"429 for an hour, and it says so", 0, 1000 * time.Hour, func() (*http.Response, error) {
			r := code(429)
			r.Header.Set("Retry-After", "3600")
			return r, nil
		}, 3000, map[string]int{"failed source_busy": 3000}, time.Minute, [2]int64{8, 40}},
		{"404 for ever is an answer", 0, 1000 * time.Hour, func() (*http.Response, error) { return code(404), nil }, 500,
			map[string]int{"failed source_missing": 500}, time.Minute, [2]int64{500, 500}},
		{"no pictures are answers too", 0, 1000 * time.Hour, func() (*http.Response, error) {
			r := code(200)
			r.Body, r.ContentLength = io.NopCloser(strings.NewReader("<html>")), 6
			return r, nil
		}, 500, map[string]int{"failed not_an_image": 500}, time.Minute, [2]int64{500, 500}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSinkWorker(t, Options{Concurrency: 32, SourceRetries: 2})
				begin := time.Now()
				var asked atomic.Int64
				fakeNet(w, func(*http.Request) (*http.Response, error) {
					asked.Add(1)
					time.Sleep(50 * time.Millisecond)
					if at := time.Since(begin); at >= test.alive && at < test.alive+test.trouble {
						return test.answer()
					}
					return whole(), nil
				})
				got, attempts := map[string]int{}, 0
				err := w.Batch(t.Context(), t.Context(), sourceOf(snapshotsOf("x", "http://h/", test.n)), func(r Result) error {
					got[fmt.Sprintf("%s %s", r.Outcome, r.Reason)]++
					attempts += r.Attempts
					if r.Held != (r.Outcome == Failed && r.Attempts == 0) {
						t.Errorf("held %t after %d attempts: %v", r.Held, r.Attempts, r.Err)
					}
					return nil
				})
				took := time.Since(begin)
				if diff := cmp.Diff(test.want, got); diff != "" || err != nil {
					t.Errorf("outcomes (-want +got), %v:\n%s", err, diff)
				}
				if n := asked.Load(); took > test.within || n < test.asked[0] || n > test.asked[1] || int64(attempts) != n {
					t.Errorf("it took %s, %d requests, %d attempts in the results", took, n, attempts)
				}
			})
		})
	}
}

// Where a queue tries again, nobody waits for a host in back-off, and the error says what is wrong with it.
func TestHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSinkWorker(t, Options{Concurrency: 32, SourceRetries: 0, Retried: true})
		up := false
		fakeNet(w, func(*http.Request) (*http.Response, error) {
			if up {
				return whole(), nil
			}
			return code(503), nil
		})
		try := func(i int) Result {
			r, err := w.Mirror(t.Context(), Snapshot{FileID: fmt.Sprint(i), URL: "http://h/?sign=SECRET"})
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		for i := range troubleStreak {
			if r := try(i); r.Held || r.Attempts != 1 || r.Reason != SourceBusy {
				t.Errorf("failure %d: %+v", i, r)
			}
		}
		begin := time.Now()
		r := try(10)
		want := `not asked for, as its host "h" has failed 8 times in a row: the origin answers 503 Service Unavailable`
		if !r.Held || r.Attempts != 0 || r.Reason != SourceBusy || r.RetryAfter <= 0 || r.RetryAfter > hostPauseMin || r.Err.Error() != want || time.Since(begin) != 0 {
			t.Errorf("%+v, want it held at once: %s", r, want)
		}
		time.Sleep(r.RetryAfter)
		if r := try(11); r.Held || r.Attempts != 1 {
			t.Errorf("after the pause: %+v, want one try", r)
		}
		if r := try(12); !r.Held || r.RetryAfter < 5*time.Second/4 {
			t.Errorf("after a failed try: %+v, want a longer pause", r)
		}
		time.Sleep(hostPauseMax)
		up = true
		for i := range 2 {
			if r := try(20 + i); r.Outcome != Mirrored {
				t.Errorf("the host is well again: %+v", r)
			}
		}
	})
}

// What waits for its host when the batch is stopped is not begun, and has no result.
func TestStopWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSinkWorker(t, Options{Concurrency: 8, SourceRetries: 2})
		stop, cancel := context.WithCancel(t.Context())
		fakeNet(w, func(*http.Request) (*http.Response, error) { return code(503), nil })
		time.AfterFunc(time.Minute, cancel)
		begin, n := time.Now(), 0
		all := snapshotsOf("x", "http://h/", 100)
		err := w.Batch(t.Context(), stop, sourceOf(append(all, all...)), func(Result) error { n++; return nil }) // each twice: keys are waited for too
		if took := time.Since(begin); err != nil || n > 2 || took != time.Minute {                               // 2 have had their attempts before that was trouble enough
			t.Errorf("ended after %s with %d results: %v", took, n, err)
		}
		if h := w.fetcher.hosts.known["h"]; h.under != 0 || len(h.waiting) != 0 || len(w.keys.held) != 0 {
			t.Errorf("left behind: %d under way, %d waiting, %d keys", h.under, len(h.waiting), len(w.keys.held))
		}
	})
}

// A stranger's events may name any number of hosts.
func TestManyHosts(t *testing.T) {
	a := newHosts(Options{Concurrency: 8, HostConcurrency: 8, Log: slog.New(slog.DiscardHandler)})
	for i := range 10 * maxHosts {
		h, err := a.enter(t.Context(), fmt.Sprint(i))
		if err != nil {
			t.Fatal(err)
		}
		h.trouble(hostFailf(SourceBusy, "x"))
		h.leave()
	}
	if got := len(a.known); got > maxHosts {
		t.Errorf("%d hosts are remembered, want at most %d", got, maxHosts)
	}
}

// Whatever comes in whatever order, no more than the limit are under way, everybody comes in or is turned away, and nothing is
// left behind.
func TestHostsUnderLoad(t *testing.T) {
	a := newHosts(Options{Concurrency: 16, HostConcurrency: 16, Retried: true, Log: slog.New(slog.DiscardHandler)})
	var under [3]gauge
	var pieces atomic.Int64
	places := newPlaces(t.Context(), 16, func(place *Place) bool {
		i := int(pieces.Add(1))
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		if i%7 == 0 {
			go cancel()
		}
		k := i % 3
		_ = place.begin() // as Mirror does
		h, err := a.enter(place.With(ctx), fmt.Sprint(k))
		if err != nil {
			return i < 10_000
		}
		under[k].enter()
		if i%5 == 0 {
			h.trouble(hostFailf(SourceBusy, "x"))
		} else {
			h.answer()
		}
		if i%11 == 0 {
			place.Leave() // as a stall does
		}
		under[k].leave()
		h.leave()
		return i < 10_000
	})
	places.run()
	for _, name := range slices.Sorted(maps.Keys(a.known)) {
		if h := a.known[name]; h.under != 0 || len(h.waiting) != 0 {
			t.Errorf("host %s: %d under way, %d waiting", name, h.under, len(h.waiting))
		}
	}
	for k := range under {
		if most := under[k].most.Load(); most > 16 {
			t.Errorf("host %d: %d at once", k, most)
		}
	}
	if places.active != 0 || places.total != 0 || !places.working.TryAcquire(16) {
		t.Errorf("%d places are active and %d goroutines at work after the end, or a place is lost", places.active, places.total)
	}
}
