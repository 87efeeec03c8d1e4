package mirror

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// asked notes when each host was asked.
type asked struct {
	mu sync.Mutex
	at map[string][]time.Time
}

func (a *asked) note(host string) (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.at == nil {
		a.at = map[string][]time.Time{}
	}
	a.at[host] = append(a.at[host], time.Now())
	return len(a.at[host])
}

// busiest is the most requests to a host within any second.
func (a *asked) busiest(host string) int {
	most, first := 0, 0
	for i, at := range a.at[host] {
		for at.Sub(a.at[host][first]) >= time.Second {
			first++
		}
		most = max(most, i-first+1)
	}
	return most
}

// Each host is asked so often a second and no more, retries included, and all of that is used.
func TestRate(t *testing.T) {
	tests := []struct {
		name    string
		rate    float64
		n       int // snapshots of each host
		fails   int // each how manieth request is answered with 503; 0 for none
		busiest int
	}{
		{"50 a second", 50, 500, 0, 55},
		{"50 a second, and each fifth request fails", 50, 500, 5, 55},
		{"one in two seconds", 0.5, 20, 0, 1},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newSinkWorker(t, Options{Concurrency: 32, Rate: test.rate, SourceRetries: 5})
				var a asked
				fakeNet(w, func(r *http.Request) (*http.Response, error) {
					if n := a.note(r.URL.Host); test.fails > 0 && n%test.fails == 0 {
						return code(503), nil
					}
					return whole(), nil
				})
				begin, mirrored := time.Now(), 0
				all := inTurn(snapshotsOf("a", "http://a/", test.n), snapshotsOf("b", "http://b/", test.n))
				err := w.Batch(t.Context(), t.Context(), sourceOf(all), func(r Result) error {
					if r.Outcome == Mirrored {
						mirrored++
					}
					return nil
				})
				if err != nil || mirrored != 2*test.n {
					t.Errorf("%d of %d mirrored: %v", mirrored, 2*test.n, err)
				}
				for _, host := range []string{"a", "b"} {
					if got := a.busiest(host); got > test.busiest {
						t.Errorf("%s: %d requests within a second, want at most %d", host, got, test.busiest)
					}
					ideal := time.Duration(float64(len(a.at[host])) / test.rate * float64(time.Second))
					if took := time.Since(begin); took > ideal+10*time.Second { // the last retries' pauses
						t.Errorf("%s: %d requests in %s, want some %s", host, len(a.at[host]), took, ideal)
					}
				}
			})
		})
	}
}

// What waits for its turn lends its place: other hosts' snapshots, behind it, don't wait.
func TestRateHoldsUpNobodyElse(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSinkWorker(t, Options{Concurrency: 4, Rate: 0.1})
		fakeNet(w, func(*http.Request) (*http.Response, error) { return whole(), nil })
		all := snapshotsOf("waits", "http://slow/", 500)
		for _, host := range []string{"a", "b", "c"} {
			all = append(all, snapshotsOf("good"+host, "http://"+host+"/", 1)...)
		}
		if took := batchUntil(t, w, all, "good", 3); took > time.Second {
			t.Errorf("the other hosts' snapshots took %s", took)
		}
	})
}

// A host that is away for a while is waited for as long as without a rate, though our own rate has it asked seldom.
func TestRateAndPatience(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const n = 30
		w := newSinkWorker(t, Options{Concurrency: 32, Rate: 0.5})
		begin, mirrored, failed := time.Now(), 0, 0
		fakeNet(w, func(*http.Request) (*http.Response, error) {
			if time.Since(begin) < 17*time.Second { // with the eighth request it is in trouble, 14 s after the first
				return nil, errors.New("connection refused")
			}
			return whole(), nil
		})
		err := w.Batch(t.Context(), t.Context(), sourceOf(snapshotsOf("x", "http://h/", n)), func(r Result) error {
			if r.Outcome == Mirrored {
				mirrored++
			} else if failed++; r.Held {
				t.Errorf("not asked for: %v", r.Err)
			}
			return nil
		})
		if err != nil || mirrored+failed != n || failed >= troubleStreak {
			t.Errorf("%d mirrored, %d failed: %v", mirrored, failed, err)
		}
	})
}

// What waits for its turn when the batch is stopped is not begun.
func TestStopWhileWaitingForTurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newSinkWorker(t, Options{Concurrency: 8, Rate: 0.1})
		fakeNet(w, func(*http.Request) (*http.Response, error) { return whole(), nil })
		stop, cancel := context.WithTimeout(t.Context(), 15*time.Second)
		defer cancel()
		begin, n := time.Now(), 0
		err := w.Batch(t.Context(), stop, sourceOf(snapshotsOf("x", "http://h/", 100)), func(Result) error { n++; return nil })
		if took := time.Since(begin); err != nil || n != 2 || took != 15*time.Second {
			t.Errorf("ended after %s with %d results: %v", took, n, err)
		}
		if h := w.fetcher.hosts.known["h"]; h.under != 0 || len(h.waiting) != 0 || len(w.keys.held) != 0 {
			t.Errorf("left behind: %d under way, %d waiting, %d keys", h.under, len(h.waiting), len(w.keys.held))
		}
		time.Sleep(10 * time.Second) // for the timer of the next turn
	})
}
