package main

import (
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var memoryEvents = flag.Int("memory-events", 3000, "how many events TestMemory sends through the pipe; the README's promise was measured with 100000")

// Memory does not grow with the number of events: events come through a pipe, 64 pictures of 150 KB are in flight, and the
// bucket is a sink that takes the bodies and confirms their MD5.
func TestMemory(t *testing.T) {
	program := filepath.Join(t.TempDir(), "snapshot-mirror")
	// The ordinary binary: this one may have the race detector in it, which takes memory of its own.
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	origin := newOrigin(t)
	origin.size = 150 << 10
	picture := origin.picture("/any.jpg")
	var puts atomic.Int64
	url := storetest.Serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case r.Method == http.MethodGet && r.URL.Query().Has("list-type"):
			fmt.Fprint(w, `<ListBucketResult></ListBucketResult>`)
		case r.Method == http.MethodGet:
			w.Header().Set("Content-Length", fmt.Sprint(len(picture)))
			_, _ = w.Write(picture)
		case r.Method == http.MethodHead:
			w.WriteHeader(http.StatusNotFound)
		default:
			_, _ = io.Copy(io.Discard, r.Body)
			puts.Add(1)
			sum, _ := base64.StdEncoding.DecodeString(r.Header.Get("Content-Md5"))
			w.Header().Set("ETag", `"`+hex.EncodeToString(sum)+`"`)
		}
	}))
	origin.URL = url // the event's URLs
	peak := func(events int) int64 {
		c := exec.Command(program, "backfill", "--allow-private-sources", "--concurrency", "64", "--to", "s3://sink", "--s3-endpoint", url, "-")
		c.Env = []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s"}
		input, output := io.Pipe()
		go func() {
			for i := range events {
				if _, err := fmt.Fprintln(output, origin.event("task", fmt.Sprintf("52858907800000%07d", i), 10, "/any.jpg")); err != nil {
					return
				}
			}
			_ = output.Close()
		}()
		c.Stdin = input
		if got := runCommand(t, c); got.code != exitOK {
			t.Fatalf("%+v", got)
		}
		return c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	}
	const few, limit = 1000, 96 << 20
	small, large := peak(few), peak(*memoryEvents)
	t.Logf("peak RSS: %d MiB with %d events, %d MiB with %d", small>>20, few, large>>20, *memoryEvents)
	if got, want := puts.Load(), int64(few+*memoryEvents); got != want {
		t.Errorf("%d pictures put, want %d", got, want)
	}
	if small > limit || large > limit {
		t.Errorf("peak RSS %d and %d bytes, want less than %d", small, large, limit)
	}
	// The peak is one of a garbage-collected heap: more rounds reach higher. What is live stays the same.
	if large > small+small/2 {
		t.Errorf("peak RSS %d bytes with %d events and %d with %d: it grows", small, few, large, *memoryEvents)
	}
}
