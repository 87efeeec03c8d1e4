package main

import (
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue/queuetest"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// Three NATS servers, three replicas of each message, three serves. One of each is killed -9 under load, later the NATS server
// comes back: nothing is lost, and the others go on.
func TestFleet(t *testing.T) {
	origin, server, cluster := newOrigin(t), storetest.StartS3(t), queuetest.StartCluster(t, 3)
	fleet := make([]*sidecar, 3)
	for i := range fleet {
		fleet[i] = startServe(t, server.Env(server.Endpoint), "--to", "s3://"+server.Bucket, "--nats", cluster.URL())
	}
	// Whoever sends turns to another when one does not answer. The longest time without an acknowledgement is the interruption.
	var turn, last, longest atomic.Int64
	last.Store(time.Now().UnixNano())
	l := startLoad(origin, *loadEvents, func(event string) int {
		time.Sleep(20 * time.Millisecond)
		status := fleet[int(turn.Add(1))%len(fleet)].post(event)
		if status == http.StatusOK {
			now := time.Now().UnixNano()
			if pause := now - last.Swap(now); pause > longest.Load() {
				longest.Store(pause)
			}
		}
		return status
	})
	waitFor(t, "some load", time.Minute, func() bool { return int(l.acked.Load()) > *loadEvents/4 })
	fleet[0].kill()
	waitFor(t, "more load", time.Minute, func() bool { return int(l.acked.Load()) > *loadEvents/2 })
	before := longest.Swap(0)
	leader := cluster.Leader(t, "SNAPSHOTS_EVENTS") // the one that hurts most
	leader.Kill()
	<-l.done
	t.Logf("longest time without an acknowledgement: %v with one serve killed, %v with one NATS server killed",
		time.Duration(before).Round(time.Millisecond), time.Duration(longest.Load()).Round(time.Millisecond))
	begin := time.Now()
	waitFor(t, "idle", 3*time.Minute, func() bool { return fleet[1].idle() && fleet[2].idle() })
	t.Logf("idle %v after the last event; %d posts were not acknowledged", time.Since(begin).Round(time.Second), l.tries.Load())
	for _, s := range fleet[1:] {
		if got := s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`); got == 0 {
			t.Error("one of the two that live has done nothing")
		}
		if got := s.metric(metricDead); got != 0 {
			t.Errorf("%v dead letters", got)
		}
		if !s.ready() {
			t.Error("not ready")
		}
	}
	leader.Start(t)
	l.verify(t, server)
}

// Without NATS, events are refused and readiness is gone; when it is back, all goes on without a restart.
func TestNATSDown(t *testing.T) {
	origin, server, bus := newOrigin(t), storetest.StartS3(t), queuetest.StartNATS(t)
	s := startServe(t, server.Env(server.Endpoint), "--to", "s3://"+server.Bucket, "--nats", bus.URL)
	l := startLoad(origin, 200, func(event string) int {
		time.Sleep(50 * time.Millisecond)
		return s.post(event)
	})
	waitFor(t, "some load", time.Minute, func() bool { return l.acked.Load() > 20 })
	bus.Kill()
	waitFor(t, "unreadiness", 20*time.Second, func() bool { return !s.ready() })
	if got := s.post(origin.event("task", "refused", 10, "/refused/1.jpg")); got != http.StatusServiceUnavailable {
		t.Errorf("status %d, want 503", got)
	}
	bus.Start(t)
	waitFor(t, "readiness", 30*time.Second, s.ready)
	<-l.done
	waitFor(t, "idle", 2*time.Minute, s.idle)
	l.verify(t, server)
}

// backfill --enqueue feeds the fleet's queue directly, whether a serve runs or not.
func TestEnqueueIntoFleet(t *testing.T) {
	origin, folder, bus := newOrigin(t), t.TempDir(), queuetest.StartNATS(t, "authorization { user: us, password: secret }")
	url := strings.Replace(bus.URL, "nats://", "nats://us:secret@", 1)
	name := writeFile(t, origin.event("task", "1", 10, manyPaths("1", 250)...))
	if got := runCommand(t, command(t, nil, "backfill", "--enqueue", "--nats", bus.URL, name)); got.code != exitCannotRun || !strings.Contains(got.stderr, "hint:") {
		t.Errorf("without the password: %+v", got)
	}
	for range 2 {
		if got := runCommand(t, command(t, nil, "backfill", "--enqueue", "--nats", url, name)); got.code != exitOK || !strings.Contains(got.stdout, "enqueued  250 ") {
			t.Fatalf("%+v", got)
		}
	}
	s := startServe(t, nil, "--to", folder, "--nats", url)
	waitFor(t, "idle", time.Minute, s.idle)
	if got := s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`); got != 250 {
		t.Errorf("%v mirrored, want 250", got)
	}
	if got := len(origin.asked()); got != 250 {
		t.Errorf("%d GETs, want 250", got)
	}
	if s.log.contains("secret") {
		t.Error("the password of NATS stands in the log")
	}
}
