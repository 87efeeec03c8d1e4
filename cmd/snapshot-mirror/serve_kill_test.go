package main

import (
	"crypto/md5"
	"flag"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var (
	loadEvents = flag.Int("load-events", 400, "events of 8 snapshots in the tests that kill processes under load; 5000 is the full size")
	loadKills  = flag.Int("load-kills", 6, "kills under load; 50 is the full size")
)

const loadSnapshots = 8 // of an event

// load posts events over 16 connections; each is posted until it is acknowledged, as its sender would.
type load struct {
	origin *origin
	events int
	acked  atomic.Int64
	tries  atomic.Int64
	done   chan struct{}
}

func startLoad(o *origin, events int, post func(event string) int) *load {
	l := &load{origin: o, events: events, done: make(chan struct{})}
	var next atomic.Int64
	var posts sync.WaitGroup
	for range 16 {
		posts.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= events {
					return
				}
				file := fmt.Sprintf("load-%d", i)
				event := o.event("task", file, 10, manyPaths(file, loadSnapshots)...)
				for post(event) != http.StatusOK {
					l.tries.Add(1)
					time.Sleep(20 * time.Millisecond)
				}
				l.acked.Add(1)
			}
		})
	}
	go func() { posts.Wait(); close(l.done) }()
	return l
}

// verify looks at every object of every acknowledged event.
func (l *load) verify(t *testing.T, server *storetest.Server) {
	t.Helper()
	there := map[string]minio.ObjectInfo{}
	for o := range server.Client(t).ListObjectsIter(t.Context(), server.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		if o.Err != nil {
			t.Fatal(o.Err)
		}
		there[o.Key] = o
	}
	wrong := 0
	for i := range l.events {
		file := fmt.Sprintf("load-%d", i)
		for n, path := range manyPaths(file, loadSnapshots) {
			got := there[fmt.Sprintf("%s/%d", file, n*1000)]
			if want := fmt.Sprintf("%x", md5.Sum(l.origin.picture(path))); strings.Trim(got.ETag, `"`) != want {
				if wrong++; wrong < 10 {
					t.Errorf("%s: %+v, want a whole picture", path, got)
				}
			}
		}
	}
	if len(there) != l.events*loadSnapshots || wrong > 0 {
		t.Errorf("%d objects, want %d; %d of them wrong or missing", len(there), l.events*loadSnapshots, wrong)
	}
}

// kill -9 at random moments under load: every event that was acknowledged is in the bucket in the end, whole, and nothing is a
// dead letter. The full size:
//
//	go test ./cmd/snapshot-mirror -run TestKillUnderLoad -v -load-events 5000 -load-kills 50 -timeout 30m
func TestKillUnderLoad(t *testing.T) {
	origin, server := newOrigin(t), storetest.StartS3(t)
	s := startServe(t, server.Env(server.Endpoint), "--to", "s3://"+server.Bucket)
	l := startLoad(origin, *loadEvents, s.post)
	revived := 0
	for range *loadKills {
		time.Sleep(time.Duration(rand.IntN(600)) * time.Millisecond) // the moment is the point
		s.kill()
		s.start()
		if s.log.contains("counts as done") {
			revived++
		}
	}
	<-l.done
	begin := time.Now()
	waitFor(t, "idle", 20*time.Minute, s.idle)
	t.Logf("%d events acknowledged, %d posts were not; idle %v after the last; %d starts found what counted as done", l.acked.Load(), l.tries.Load(),
		time.Since(begin).Round(time.Second), revived)
	if got := s.metric(metricDead); got != 0 {
		t.Errorf("%v dead letters:\n%s", got, s.run("failed", "list").stdout)
	}
	l.verify(t, server)
}
