package queue

import (
	"testing"
	"time"
)

func TestBackoff(t *testing.T) {
	const shortest, longest = 10 * time.Second, time.Hour
	want := shortest
	for n := 1; n < 200; n++ {
		got := backoff(n, shortest, longest)
		if got < want*3/4 || got > want*5/4 {
			t.Errorf("after %d failures: %v, want %v give or take a quarter", n, got, want)
		}
		want = min(2*want, longest)
	}
	seen := map[time.Duration]bool{}
	for range 10 {
		seen[backoff(3, shortest, longest)] = true
	}
	if len(seen) < 2 {
		t.Error("no jitter")
	}
}
