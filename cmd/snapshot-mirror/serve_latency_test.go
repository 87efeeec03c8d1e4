package main

import (
	"flag"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var latencySeconds = flag.Int("latency-seconds", 2, "how long TestServeLatency posts; 30 is the full size")

// arrivals notes when the bucket has confirmed each key.
type arrivals struct {
	mu sync.Mutex
	at map[string]time.Time
}

func (a *arrivals) note(key string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, known := a.at[key]; !known { // the first of them: a put is repeated once, to see whether it is refused
		a.at[key] = time.Now()
	}
}

func (a *arrivals) of(key string) (time.Time, bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	at, known := a.at[key]
	return at, known
}

// How long after the 200 a picture is in the bucket: one event at a time, and at four fifths of the rate that serve can keep up with.
// The full size:
//
//	go test ./cmd/snapshot-mirror -run TestServeLatency -v -latency-seconds 30
func TestServeLatency(t *testing.T) {
	useOrdinaryProgram(t)
	origin, server := newOrigin(t), storetest.StartS3(t)
	arrived := arrivals{at: map[string]time.Time{}}
	proxy := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		server.Forward(w, r)
		arrived.note(strings.TrimPrefix(r.URL.Path, "/"+server.Bucket+"/"))
		return true
	})
	s := startServe(t, server.Env(proxy), "--to", "s3://"+server.Bucket)

	// announce posts an event of n pictures and gives what is still to come of it, for wait.
	type announced struct {
		file string
		n    int
		at   time.Time
	}
	announce := func(file string, n int) (announced, error) {
		status := s.post(origin.event("task", file, 10, manyPaths(file, n)...))
		if status != http.StatusOK {
			return announced{}, fmt.Errorf("event %s: status %d", file, status)
		}
		return announced{file, n, time.Now()}, nil
	}
	wait := func(all ...announced) (latencies []time.Duration) {
		t.Helper()
		for _, a := range all {
			for i := range a.n {
				key, at := fmt.Sprintf("%s/%d", a.file, i*1000), time.Time{}
				waitFor(t, key, time.Minute, func() (known bool) { at, known = arrived.of(key); return known })
				latencies = append(latencies, at.Sub(a.at))
			}
		}
		slices.Sort(latencies)
		return latencies
	}
	tell := func(when string, l []time.Duration) {
		t.Logf("%s: from the 200 to the object, %d snapshots: p50 %v, p99 %v", when, len(l),
			l[len(l)/2].Round(100*time.Microsecond), l[len(l)*99/100].Round(100*time.Microsecond))
	}

	var idle []time.Duration
	for i := range 20 * *latencySeconds {
		a, err := announce(fmt.Sprintf("idle%d", i), 1)
		if err != nil {
			t.Fatal(err)
		}
		idle = append(idle, wait(a)...)
	}
	slices.Sort(idle)
	tell("idle", idle)

	const each = 10
	burst := func(name string, events int, every time.Duration) []announced {
		t.Helper()
		all := make([]announced, events)
		var group errgroup.Group
		begin := time.Now()
		for i := range events {
			time.Sleep(time.Until(begin.Add(time.Duration(i) * every)))
			group.Go(func() (err error) {
				all[i], err = announce(fmt.Sprintf("%s%d", name, i), each)
				return err
			})
		}
		if err := group.Wait(); err != nil {
			t.Fatal(err)
		}
		return all
	}
	begin := time.Now()
	wait(burst("most", 100**latencySeconds, time.Millisecond)...)
	rate := float64(each*100**latencySeconds) / time.Since(begin).Seconds()
	t.Logf("at the most: %.0f snapshots/s", rate)

	every := time.Duration(float64(each) / (0.8 * rate) * float64(time.Second))
	tell("at 0.8 of that", wait(burst("steady", int(time.Duration(*latencySeconds)*time.Second/every), every)...))
}
