package main

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var memoryEvents = flag.Int("memory-events", 3000, "how many events TestMemory sends through the pipe; the README's promise was measured with 100000")

// Memory does not grow with the number of events: events come through a pipe, 64 pictures of 150 KB are in flight, and the
// bucket is a sink that takes the bodies and confirms their MD5.
func TestMemory(t *testing.T) {
	useOrdinaryProgram(t)
	origin := newOrigin(t)
	origin.size = 150 << 10
	picture := origin.picture("/any.jpg")
	var stored sync.Map // by path: once, a put is repeated to see whether it is refused
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
			if !strings.HasSuffix(r.URL.Path, store.ProbeKey) {
				stored.Store(r.URL.Path, true)
			}
			sum, _ := base64.StdEncoding.DecodeString(r.Header.Get("Content-Md5"))
			w.Header().Set("ETag", `"`+hex.EncodeToString(sum)+`"`)
		}
	}))
	origin.URL = url // the event's URLs
	peak := func(events int) int64 {
		c := command(t, []string{"AWS_ACCESS_KEY_ID=a", "AWS_SECRET_ACCESS_KEY=s"},
			"backfill", "--allow-private-sources", "--concurrency", "64", "--to", "s3://sink", "--s3-endpoint", url, "-")
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
		var stderr bytes.Buffer
		c.Stderr = &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		peak := make(chan int64)
		go func() { peak <- peakMemory(c.Process.Pid) }()
		if err := c.Wait(); err != nil {
			t.Fatalf("%v\n%s", err, stderr.String())
		}
		return <-peak
	}
	const few, limit = 1000, 96 << 20
	small, large := peak(few), peak(*memoryEvents)
	t.Logf("peak RSS: %d MiB with %d events, %d MiB with %d", small>>20, few, large>>20, *memoryEvents)
	got := 0
	stored.Range(func(any, any) bool { got++; return true })
	if want := max(few, *memoryEvents); got != want { // those of the first run are put again
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

// useOrdinaryProgram makes the test's commands run a program without the race detector, which takes memory and time of its own.
func useOrdinaryProgram(t testing.TB) {
	t.Helper()
	folder := t.TempDir()
	if out, err := exec.Command("go", "build", "-o", filepath.Join(folder, "snapshot-mirror"), ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	t.Setenv("PATH", folder+string(filepath.ListSeparator)+os.Getenv("PATH"))
}

// peakMemory watches a process until it ends and gives the largest resident size in bytes. What wait4 tells is not it: that
// begins with the size of the process that started it.
func peakMemory(pid int) (peak int64) {
	for ; ; time.Sleep(10 * time.Millisecond) {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		_, rest, found := strings.Cut(string(text), "VmHWM:")
		if err != nil || !found {
			return peak
		}
		var kib int64
		if _, err := fmt.Sscan(rest, &kib); err == nil {
			peak = kib << 10
		}
	}
}
