package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var (
	queuedSnapshots = flag.Int("queued-snapshots", 20_000, "snapshots that TestManyQueued queues; 1000000 is the full size")
	acceptSeconds   = flag.Int("accept-seconds", 3, "how long TestAcceptRate posts; 30 is the full size")
	acceptRate      = flag.Int("accept-rate", 300, "events of 10 snapshots a second that TestAcceptRate posts")
)

const mebibyte = 1 << 20

func TestIdleMemory(t *testing.T) {
	useOrdinaryProgram(t)
	s := startServe(t, nil, "--to", t.TempDir())
	time.Sleep(2 * time.Second) // idle is what is measured
	rss := s.metric("process_resident_memory_bytes")
	t.Logf("idle: %.0f MiB", rss/mebibyte)
	if rss <= 0 || rss > 64*mebibyte {
		t.Errorf("%.0f MiB when idle, want less than 64", rss/mebibyte)
	}
}

// A long queue costs little memory, also right after a crash. The full size:
//
//	go test ./cmd/snapshot-mirror -run TestManyQueued -v -queued-snapshots 1000000 -timeout 30m
func TestManyQueued(t *testing.T) {
	useOrdinaryProgram(t)
	origin := newOrigin(t)
	hold := make(chan struct{})
	t.Cleanup(func() { close(hold) })
	origin.setGate(func(string) { <-hold })
	s := startServe(t, nil, "--to", t.TempDir(), "--concurrency", "1", "--idle-timeout", "10m", "--attempt-timeout", "1h")
	const each = 100
	for i := 0; i < *queuedSnapshots; i += each {
		file := fmt.Sprintf("f%d", i)
		if got := s.post(origin.event("task", file, 10, manyPaths(file, each)...)); got != 200 {
			t.Fatalf("status %d", got)
		}
	}
	// Events are split a little ahead of the work. What waits for its host beside the one that is fetched is in flight, too.
	queued := func() bool {
		return each*s.metric("snapshot_mirror_queue_events")+s.metric(metricReady)+s.metric(metricDelayed) >= float64(*queuedSnapshots-mirror.Spare-4)
	}
	waitFor(t, "all to be queued", time.Minute, queued)
	full := s.metric("process_resident_memory_bytes")
	s.kill()
	begin := time.Now()
	s.start()
	took := time.Since(begin)
	waitFor(t, "all to be there", time.Minute, queued)
	rss := s.metric("process_resident_memory_bytes")
	t.Logf("%d queued: %.0f MiB after queueing, after kill -9 ready in %v with %.0f MiB", *queuedSnapshots, full/mebibyte, took.Round(time.Millisecond), rss/mebibyte)
	if rss > 512*mebibyte {
		t.Errorf("%.0f MiB, want less than 512", rss/mebibyte)
	}
}

// A constant rate of events from a load generator that is not ours, all accepted, all mirrored. The full size:
//
//	go test ./cmd/snapshot-mirror -run TestAcceptRate -v -accept-seconds 30
func TestAcceptRate(t *testing.T) {
	useOrdinaryProgram(t)
	origin, server := newOrigin(t), storetest.StartS3(t)
	s := startServe(t, server.Env(server.Endpoint), "--to", "s3://"+server.Bucket)
	var targets bytes.Buffer
	events := *acceptRate * *acceptSeconds
	for i := range events {
		file := fmt.Sprintf("f%d", i)
		body := base64.StdEncoding.EncodeToString([]byte(origin.event("task", file, 10, manyPaths(file, 10)...)))
		fmt.Fprintf(&targets, `{"method":"POST","url":%q,"body":%q}`+"\n", s.callback, body)
	}
	fsyncs := fsyncRate(t)
	vegeta := storetest.Program(t, "vegeta")
	attack := exec.Command(vegeta, "attack", "-format=json", "-rate", fmt.Sprint(*acceptRate), "-duration", fmt.Sprintf("%ds", *acceptSeconds), "-timeout", "10s")
	attack.Stdin = &targets
	results, err := attack.Output()
	if err != nil {
		t.Fatal(err)
	}
	report := exec.Command(vegeta, "report", "-type=json")
	report.Stdin = bytes.NewReader(results)
	text, err := report.Output()
	if err != nil {
		t.Fatal(err)
	}
	var r struct {
		Latencies struct {
			P50 time.Duration `json:"50th"`
			P99 time.Duration `json:"99th"`
			Max time.Duration
		}
		Requests                  int // a few less than it was given when the machine is busy
		Rate, Throughput, Success float64
		StatusCodes               map[string]int `json:"status_codes"`
		Errors                    []string
	}
	if err := json.Unmarshal(text, &r); err != nil {
		t.Fatal(err)
	}
	t.Logf("%.0f events/s of 10 snapshots: answers p50 %v, p99 %v, max %v; %.2f of the disk's %.0f fsyncs/s",
		r.Throughput, r.Latencies.P50.Round(time.Microsecond), r.Latencies.P99.Round(time.Microsecond), r.Latencies.Max.Round(time.Microsecond), r.Throughput/fsyncs, fsyncs)
	if r.Success != 1 {
		t.Errorf("statuses %v, errors %s", r.StatusCodes, strings.Join(r.Errors, "; "))
	}
	begin := time.Now()
	waitFor(t, "idle", 20*time.Minute, s.idle)
	t.Logf("all mirrored %v after the last", time.Since(begin).Round(time.Millisecond))
	if got := s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`); got != float64(10*r.Requests) || r.Requests == 0 {
		t.Errorf("%v mirrored, want %d", got, 10*r.Requests)
	}
}

// fsyncRate is how often a second this disk syncs a small write.
func fsyncRate(t *testing.T) float64 {
	f, err := os.Create(filepath.Join(t.TempDir(), "fsync"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	n, begin := 0, time.Now()
	for ; time.Since(begin) < time.Second; n++ {
		if _, err := f.Write(make([]byte, 400)); err != nil {
			t.Fatal(err)
		}
		if err := f.Sync(); err != nil {
			t.Fatal(err)
		}
	}
	return float64(n) / time.Since(begin).Seconds()
}
