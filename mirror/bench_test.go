package mirror_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

const benchConcurrency = 16

// The latencies of BenchmarkLatency's origin and sink, which are on the path of their URLs.
const (
	originLatency = 50 * time.Millisecond
	sinkLatency   = 20 * time.Millisecond
)

// BenchmarkMirror measures the worker beside a ceiling: net/http GET plus a raw signed PUT, with nothing looked up, proven or
// recorded. The origin and a minimal S3 sink, which verifies CRC32C and keeps names alone, run in a process of their own, so that
// cpu-ms/op is the client's CPU time alone. Read the ratio of worker to ceiling; the machine's noise hits both.
func BenchmarkMirror(b *testing.B) {
	peer := startPeer(b)
	for _, size := range []int{20 << 10, 150 << 10, 1500 << 10} {
		source := fmt.Sprintf("%s/origin/%d.jpg", peer, size)
		b.Run(fmt.Sprintf("%dKiB/ceiling", size>>10), func(b *testing.B) {
			measure(b, size, benchConcurrency, ceiling(benchConcurrency, size, source, peer+"/ceiling"))
		})
		b.Run(fmt.Sprintf("%dKiB/worker", size>>10), func(b *testing.B) {
			worker := benchWorker(b, peer, "sink", benchConcurrency)
			measure(b, size, benchConcurrency, func(ctx context.Context, n int64) error {
				return mirrorOne(ctx, worker, mirror.Snapshot{FileID: fmt.Sprintf("%d-%d", size, n), Definition: 10, TaskID: "t", URL: source})
			})
		})
	}
}

// BenchmarkLatency is for origins and buckets that are far away: the more snapshots are worked on at once, the more are mirrored.
// of-ideal/op is the rate in relation to concurrency / latency.
func BenchmarkLatency(b *testing.B) {
	const size = 20 << 10
	peer := startPeer(b)
	source := fmt.Sprintf("%s/slow/origin/%d.jpg", peer, size)
	for _, concurrency := range []int{16, 64, 128, 256} {
		b.Run(fmt.Sprintf("%d/ceiling", concurrency), func(b *testing.B) {
			measureFar(b, size, concurrency, ceiling(concurrency, size, source, peer+"/slow/ceiling"))
		})
		b.Run(fmt.Sprintf("%d/worker", concurrency), func(b *testing.B) {
			worker := benchWorker(b, peer, "slow", concurrency)
			measureFar(b, size, concurrency, func(ctx context.Context, n int64) error {
				return mirrorOne(ctx, worker, mirror.Snapshot{FileID: fmt.Sprintf("%d-%d", concurrency, n), Definition: 10, TaskID: "t", URL: source})
			})
		})
	}
}

// measureFar is measure once the host has earned its fetches, the bucket has shown what it can, and connections are made.
func measureFar(b *testing.B, size, concurrency int, copyOne func(ctx context.Context, n int64) error) {
	var warm errgroup.Group
	for i := range 2 * concurrency {
		warm.Go(func() error { return copyOne(b.Context(), int64(-1-i)) })
	}
	if err := warm.Wait(); err != nil {
		b.Fatal(err)
	}
	rate := measure(b, size, concurrency, copyOne)
	b.ReportMetric(rate/(float64(concurrency)/(originLatency+sinkLatency).Seconds()), "of-ideal/op")
}

func benchWorker(b *testing.B, peer, bucket string, concurrency int) *mirror.Worker {
	s3, err := store.NewS3(store.S3Options{
		Bucket: bucket, Endpoint: peer, Region: "us-east-1", Addressing: "path", Concurrency: concurrency,
		Credentials: store.S3Credentials{AccessKeyID: "access", SecretAccessKey: "secret"}, AppName: "bench", AppVersion: "1",
	})
	if err != nil {
		b.Fatal(err)
	}
	worker, err := mirror.New(s3, mirror.Options{Concurrency: concurrency, AllowPrivateSources: true})
	if err != nil {
		b.Fatal(err)
	}
	return worker
}

func mirrorOne(ctx context.Context, w *mirror.Worker, s mirror.Snapshot) error {
	r, err := w.Mirror(ctx, s)
	if err == nil && r.Outcome != mirror.Mirrored {
		err = fmt.Errorf("%s: %w", r.Outcome, r.Err)
	}
	return err
}

// measure runs one copy for each turn of the loop, so many at a time, and gives copies a second.
func measure(b *testing.B, size, concurrency int, copyOne func(ctx context.Context, n int64) error) (rate float64) {
	b.ReportAllocs()
	b.SetBytes(int64(size))
	work := make(chan int64)
	var group errgroup.Group
	for range concurrency {
		group.Go(func() error {
			for n := range work {
				if err := copyOne(b.Context(), n); err != nil {
					for range work { // let the loop end
					}
					return err
				}
			}
			return nil
		})
	}
	var n int64
	before := cpuTime()
	for b.Loop() {
		n++
		work <- n
	}
	close(work)
	if err := group.Wait(); err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64((cpuTime()-before).Microseconds())/1000/float64(n), "cpu-ms/op")
	rate = float64(n) / b.Elapsed().Seconds()
	b.ReportMetric(rate, "snapshots/s")
	return rate
}

func cpuTime() time.Duration {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// ceiling copies with [storetest.CopyRaw].
func ceiling(concurrency, size int, from, to string) func(context.Context, int64) error {
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 2 * concurrency, DisableCompression: true}}
	buffers := sync.Pool{New: func() any { b := make([]byte, size); return &b }}
	return func(ctx context.Context, n int64) error {
		buffer := buffers.Get().(*[]byte)
		defer buffers.Put(buffer)
		return storetest.CopyRaw(ctx, client, from, fmt.Sprintf("%s/%d/%d", to, size, n), *buffer, "access", "secret")
	}
}

const peerVariable = "SNAPSHOT_MIRROR_BENCH_PEER"

// startPeer runs TestBenchPeer in a process of its own and gives its URL.
func startPeer(b *testing.B) string {
	b.Helper()
	peer := exec.Command(os.Args[0], "-test.run=^TestBenchPeer$", "-test.v")
	peer.Env = append(os.Environ(), peerVariable+"=1")
	peer.Stderr = os.Stderr
	stdin, err := peer.StdinPipe() // closed at the end, whatever the end is
	if err != nil {
		b.Fatal(err)
	}
	stdout, err := peer.StdoutPipe()
	if err != nil {
		b.Fatal(err)
	}
	if err := peer.Start(); err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { _ = stdin.Close(); _ = peer.Wait() })
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		if _, url, ok := strings.Cut(lines.Text(), "peer at "); ok {
			go func() { _, _ = io.Copy(io.Discard, stdout) }()
			return url
		}
	}
	b.Fatal("the peer did not start")
	return ""
}

// TestBenchPeer is the other side of the benchmarks: an origin and a sink. Without its variable it checks itself shortly.
func TestBenchPeer(t *testing.T) {
	var puts atomic.Int64
	var stored sync.Map // by path
	pictures := map[string][]byte{}
	for _, size := range []int{20 << 10, 150 << 10, 1500 << 10} {
		picture := make([]byte, size)
		_, _ = rand.NewChaCha8([32]byte{}).Read(picture)
		copy(picture, "\xff\xd8\xff\xe0")
		copy(picture[size-2:], "\xff\xd9")
		pictures[fmt.Sprintf("/origin/%d.jpg", size)] = picture
	}
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		path, slow := strings.CutPrefix(r.URL.Path, "/slow")
		switch r.Method {
		case http.MethodGet:
			if slow {
				time.Sleep(originLatency)
			}
			picture := pictures[path]
			w.Header().Set("Content-Length", strconv.Itoa(len(picture)))
			_, _ = w.Write(picture)
		case http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		case http.MethodPut:
			if slow {
				time.Sleep(sinkLatency)
			}
			sum := crc32.New(crc32.MakeTable(crc32.Castagnoli))
			_, _ = io.Copy(sum, r.Body)
			sent, _ := base64.StdEncoding.DecodeString(r.Header.Get("X-Amz-Checksum-Crc32c"))
			_, there := stored.LoadOrStore(r.URL.Path, true)
			switch {
			case len(sent) > 0 && !bytes.Equal(sent, sum.Sum(nil)):
				w.WriteHeader(http.StatusBadRequest)
			case there && r.Header.Get("If-None-Match") == "*":
				w.WriteHeader(http.StatusPreconditionFailed)
			default:
				puts.Add(1)
				w.Header().Set("ETag", `"0123-1"`)
			}
		}
	}))
	if os.Getenv(peerVariable) != "" {
		fmt.Println("peer at " + url)
		_, _ = io.Copy(io.Discard, os.Stdin)
		return
	}
	if err := storetest.CopyRaw(t.Context(), http.DefaultClient, url+"/origin/20480.jpg", url+"/sink/1/0", make([]byte, 1<<20), "access", "secret"); err != nil || puts.Load() != 1 {
		t.Errorf("copying once: %v, %d PUTs", err, puts.Load())
	}
}
