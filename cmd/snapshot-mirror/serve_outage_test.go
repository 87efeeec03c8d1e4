package main

import (
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// The bucket does not answer for a while, or refuses us: events are accepted, nothing dies, and work goes on by itself.
func TestBucketDown(t *testing.T) {
	for _, test := range []struct {
		name, reason, told string
		answer             func(http.ResponseWriter)
	}{
		{"away", "store_unavailable", "--s3-endpoint", func(http.ResponseWriter) { panic(http.ErrAbortHandler) }}, // the connection breaks
		{"denied", "store_denied", "s3:PutObject", func(w http.ResponseWriter) { w.WriteHeader(http.StatusForbidden) }},
	} {
		t.Run(test.name, func(t *testing.T) {
			origin, server := newOrigin(t), storetest.StartS3(t)
			var down atomic.Bool
			down.Store(true) // from the start, even
			proxy := server.Proxy(t, func(w http.ResponseWriter, _ *http.Request) bool {
				bad := down.Load()
				if bad {
					test.answer(w)
				}
				return bad
			})
			s := startServe(t, server.Env(proxy), "--to", "s3://"+server.Bucket, "--retry-min", "200ms", "--retry-max", "400ms", "--give-up-after", "1ms")
			waitFor(t, "the outage to show before there is anything to mirror", time.Minute, func() bool { return s.metric("snapshot_mirror_store_up") == 0 })
			l := startLoad(origin, 50, s.post)
			<-l.done
			waitFor(t, "a failure of the store", 2*time.Minute, func() bool {
				return s.metric(`snapshot_mirror_snapshots_total{outcome="failed",reason="`+test.reason+`"}`) >= 1
			})
			if !s.ready() {
				t.Error("not ready, though events can be accepted")
			}
			if !s.log.contains("the destination can't be used now") || !s.log.contains(test.told) {
				t.Errorf("the outage is not told, or not what to do: %s", test.told)
			}
			down.Store(false)
			waitFor(t, "idle", 3*time.Minute, s.idle)
			if got := s.metric(metricDead); got != 0 {
				t.Errorf("%v dead letters", got)
			}
			if got := s.metric("snapshot_mirror_store_up"); got != 1 {
				t.Errorf("store_up %v, want 1", got)
			}
			l.verify(t, server)
		})
	}
}

// The origin breaks every connection for a while.
func TestOriginDown(t *testing.T) {
	origin, server := newOrigin(t), storetest.StartS3(t)
	var down atomic.Bool
	down.Store(true)
	origin.setAnswer(func(http.ResponseWriter, *http.Request) bool {
		if down.Load() {
			panic(http.ErrAbortHandler)
		}
		return false
	})
	s := startServe(t, server.Env(server.Endpoint), "--to", "s3://"+server.Bucket, "--retry-min", "200ms", "--retry-max", "1s", "--source-retries", "0")
	l := startLoad(origin, 50, s.post)
	<-l.done
	waitFor(t, "failures", time.Minute, func() bool {
		return s.metric(`snapshot_mirror_snapshots_total{outcome="failed",reason="source_unreachable"}`) > 100
	})
	if !s.ready() {
		t.Error("not ready, though events can be accepted")
	}
	down.Store(false)
	waitFor(t, "idle", time.Minute, s.idle)
	if got := s.metric(metricDead); got != 0 {
		t.Errorf("%v dead letters", got)
	}
	l.verify(t, server)
}

// The disk of the queue fills up: events are refused with 503 and none that was acknowledged is lost; when there is room again,
// all goes on without a restart. Both by a neighbour that takes all but the reserve, and by one that takes the last byte.
func TestDiskFull(t *testing.T) {
	for _, test := range []struct {
		name  string
		leave int64 // bytes
	}{{"below the reserve", 20 << 20}, {"to the last byte", 0}} {
		t.Run(test.name, func(t *testing.T) {
			disk := storetest.SmallDisk(t, 96)
			origin, server := newOrigin(t), storetest.StartS3(t)
			origin.setGate(func(string) { time.Sleep(30 * time.Millisecond) }) // so that something is queued
			s := startServe(t, server.Env(server.Endpoint), "--to", "s3://"+server.Bucket, "--data-dir", filepath.Join(disk, "data"), "--concurrency", "4", "--retry-min", "500ms")
			l := startLoad(origin, 400, func(event string) int {
				time.Sleep(100 * time.Millisecond) // so that it goes on until the disk is full
				return s.post(event)
			})
			waitFor(t, "some events", 10*time.Second, func() bool { return l.acked.Load() > 20 })
			filler := filepath.Join(disk, "neighbour")
			fill(t, filler, disk, test.leave)

			waitFor(t, "unreadiness", 10*time.Second, func() bool { return !s.ready() })
			waitFor(t, "a refused event", 20*time.Second, func() bool { return l.tries.Load() > 0 })
			if got := s.post(origin.event("task", "refused", 10, "/refused/1.jpg")); got != http.StatusServiceUnavailable {
				t.Errorf("status %d, want 503", got)
			}
			time.Sleep(2 * time.Second)
			if status, _ := s.get("/livez"); status != http.StatusOK {
				t.Errorf("livez %d", status)
			}
			t.Logf("%d events acknowledged, %d refused", l.acked.Load(), l.tries.Load())
			if err := os.Remove(filler); err != nil {
				t.Fatal(err)
			}
			waitFor(t, "readiness", 30*time.Second, s.ready)
			origin.setGate(nil)
			select {
			case <-l.done:
			case <-time.After(time.Minute):
				t.Fatal("events are still refused")
			}
			waitFor(t, "idle", 2*time.Minute, s.idle)
			if got := s.metric(metricDead); got != 0 {
				t.Errorf("%v dead letters", got)
			}
			l.verify(t, server)
		})
	}
}

// fill writes a file until only so many bytes of the disk are free.
func fill(t *testing.T, name, disk string, leave int64) {
	t.Helper()
	f, err := os.Create(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	block := []byte(strings.Repeat("x", 64<<10))
	for {
		var fs syscall.Statfs_t
		if err := syscall.Statfs(disk, &fs); err != nil {
			t.Fatal(err)
		}
		if int64(fs.Bavail)*int64(fs.Bsize) <= leave {
			return
		}
		if _, err := f.Write(block); err != nil { // full
			return
		}
	}
}
