package main

import (
	"bytes"
	"crypto/md5"
	"encoding/json"
	"flag"
	"fmt"
	"hash/fnv"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

var stormSnapshots = flag.Int("storm-snapshots", 1500, "snapshots of TestStorm; 10000 is the full size")

// A fate is what happens to one snapshot, by its number out of a hundred.
type fate struct {
	upTo   int
	reason string // why it fails; "" when it is mirrored in the end
	// origin and bucket answer the n-th request, counted from 0, or say false.
	origin func(w http.ResponseWriter, n int, picture []byte) bool
	bucket func(w http.ResponseWriter, n int) bool
}

// once answers the first request only.
func once(answer func(http.ResponseWriter)) func(http.ResponseWriter, int, []byte) bool {
	return func(w http.ResponseWriter, n int, _ []byte) bool {
		if n == 0 {
			answer(w)
		}
		return n == 0
	}
}

func always(answer func(http.ResponseWriter, []byte)) func(http.ResponseWriter, int, []byte) bool {
	return func(w http.ResponseWriter, _ int, picture []byte) bool { answer(w, picture); return true }
}

func bucketOnce(answer func(http.ResponseWriter)) func(http.ResponseWriter, int) bool {
	return func(w http.ResponseWriter, n int) bool {
		if n == 0 {
			answer(w)
		}
		return n == 0
	}
}

func says(status int) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { http.Error(w, "<html>\x1b[31m?sign=hush", status) }
}

func s3Says(status int, code string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		w.WriteHeader(status)
		fmt.Fprintf(w, "<Error><Code>%s</Code><Message>no</Message></Error>", code)
	}
}

func hangsUp(http.ResponseWriter) { panic(http.ErrAbortHandler) }

// cutsOff announces everything and sends half.
func cutsOff(w http.ResponseWriter, picture []byte) {
	w.Header().Set("Content-Length", fmt.Sprint(len(picture)))
	_, _ = w.Write(picture[:len(picture)/2])
	panic(http.ErrAbortHandler)
}

// fates are 30 of 100 faults; the rest is as it should be.
var fates = []fate{
	{upTo: 4, origin: once(says(503))},
	{upTo: 7, origin: once(hangsUp)},
	{upTo: 10, origin: func(w http.ResponseWriter, n int, picture []byte) bool {
		if n == 0 {
			cutsOff(w, picture)
		}
		return false
	}},
	{upTo: 13, reason: "source_missing", origin: always(func(w http.ResponseWriter, _ []byte) { says(404)(w) })},
	{upTo: 15, reason: "source_denied", origin: always(func(w http.ResponseWriter, _ []byte) { says(403)(w) })},
	{upTo: 17, reason: "not_an_image", origin: always(func(w http.ResponseWriter, _ []byte) { says(200)(w) })},
	{upTo: 19, reason: "incomplete", origin: always(func(w http.ResponseWriter, picture []byte) {
		w.Header().Set("ETag", fmt.Sprintf("%q", strings.Repeat("0", 32)))
		_, _ = w.Write(picture)
	})},
	{upTo: 20, reason: "too_large", origin: always(func(w http.ResponseWriter, _ []byte) { w.Header().Set("Content-Length", "99999999999") })},
	{upTo: 23, bucket: bucketOnce(s3Says(503, "SlowDown"))},
	{upTo: 26, bucket: bucketOnce(hangsUp)},
	{upTo: 28, bucket: bucketOnce(func(w http.ResponseWriter) { fmt.Fprint(w, "<Error><Code>InternalError</Code></Error>") })},
	{upTo: 29, reason: "store_denied", bucket: func(w http.ResponseWriter, _ int) bool { s3Says(403, "AccessDenied")(w); return true }},
	{upTo: 30, reason: "store_rejected", bucket: func(w http.ResponseWriter, _ int) bool { s3Says(400, "EntityTooLarge")(w); return true }},
	{upTo: 100},
}

func fateOf(file string) fate {
	h := fnv.New32a()
	_, _ = h.Write([]byte(file))
	for _, f := range fates {
		if int(h.Sum32()%100) < f.upTo {
			return f
		}
	}
	panic("no fate")
}

// counter numbers requests by name.
type counter struct {
	mu sync.Mutex
	n  map[string]int
}

func (c *counter) next(name string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.n == nil {
		c.n = map[string]int{}
	}
	c.n[name]++
	return c.n[name] - 1
}

// With three of ten snapshots in trouble at the origin or the bucket, all that can be mirrored are, byte for byte, the others are in
// the failed list with the right reason, and memory stays flat. The full size:
//
//	go test ./cmd/snapshot-mirror -run TestStorm -v -storm-snapshots 10000 -timeout 30m
func TestStorm(t *testing.T) {
	useOrdinaryProgram(t)
	origin, server := newOrigin(t), storetest.StartS3(t)
	var gets, putCalls counter
	origin.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		file := strings.Split(r.URL.Path, "/")[1]
		f := fateOf(file)
		return f.origin != nil && f.origin(w, gets.next(file), origin.picture(r.URL.Path))
	})
	endpoint := server.Proxy(t, func(w http.ResponseWriter, r *http.Request) bool {
		file := strings.Split(r.URL.Path, "/")[2]
		if r.Method != http.MethodPut || file == store.ProbeKey {
			return false
		}
		f := fateOf(file)
		return f.bucket != nil && f.bucket(w, putCalls.next(file))
	})
	folder := t.TempDir()
	run := func(name string, from, to int) (report []byte, peak int64) {
		var events strings.Builder
		for i := from; i < to; i++ {
			file := fmt.Sprintf("storm-%d", i)
			events.WriteString(origin.event("task", file, 10, "/"+file+"/0.jpg?sign=hush") + "\n")
		}
		reportFile, failedFile := filepath.Join(folder, name+".report"), filepath.Join(folder, name+".failed")
		c := command(t, server.Env(endpoint), "backfill", "--allow-private-sources", "--to", "s3://"+server.Bucket, "--report", reportFile, "--failed", failedFile,
			"--log-level", "debug", "-")
		c.Stdin = strings.NewReader(events.String())
		var stdout, stderr bytes.Buffer
		c.Stdout, c.Stderr = &stdout, &stderr
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		watched := make(chan int64)
		go func() { watched <- peakMemory(c.Process.Pid) }()
		_ = c.Wait()
		peak = <-watched
		if code := c.ProcessState.ExitCode(); code != exitFailed {
			t.Fatalf("exit code %d, want %d\n%s\n%.4000s", code, exitFailed, stdout.String(), stderr.String())
		}
		report, err := os.ReadFile(reportFile)
		if err != nil {
			t.Fatal(err)
		}
		failed, err := os.ReadFile(failedFile)
		if err != nil {
			t.Fatal(err)
		}
		if n := bytes.Count(failed, []byte("\n")); n != bytes.Count(report, []byte(`"outcome":"failed"`)) {
			t.Errorf("%d snapshots in the failed list, %d in the report", n, bytes.Count(report, []byte(`"outcome":"failed"`)))
		}
		for what, text := range map[string][]byte{"report": report, "log": stderr.Bytes(), "summary": stdout.Bytes()} {
			if bytes.Contains(text, []byte("hush")) || bytes.Contains(text, []byte("\x1b")) {
				t.Errorf("the %s holds a query or a control character", what)
			}
		}
		return report, peak
	}
	few := *stormSnapshots / 2 // what is read ahead, and waits, is there in both
	_, small := run("few", -few, 0)
	report, large := run("all", 0, *stormSnapshots)
	t.Logf("peak RSS %d MiB with %d snapshots, %d MiB with %d", small>>20, few, large>>20, *stormSnapshots)
	if large > small+small/2 {
		t.Errorf("memory grows: %d bytes with %d, %d with %d", small, few, large, *stormSnapshots)
	}

	reasons := map[string]string{} // by file id
	for line := range bytes.Lines(report) {
		var r struct {
			FileID  string `json:"file_id"`
			Outcome string `json:"outcome"`
			Reason  string `json:"reason"`
		}
		if err := json.Unmarshal(line, &r); err != nil || (r.Outcome == "mirrored") != (r.Reason == "") {
			t.Fatalf("%s: %v", line, err)
		}
		reasons[r.FileID] = r.Reason
	}
	etags := map[string]string{}
	for o := range server.Client(t).ListObjectsIter(t.Context(), server.Bucket, minio.ListObjectsOptions{Recursive: true}) {
		etags[o.Key] = strings.Trim(o.ETag, `"`)
	}
	wrong := 0
	for i := range *stormSnapshots {
		file := fmt.Sprintf("storm-%d", i)
		want := fateOf(file).reason
		got, told := reasons[file]
		stored := etags[file+"/0"]
		whole := stored == fmt.Sprintf("%x", md5.Sum(origin.picture("/"+file+"/0.jpg")))
		if !told || got != want || (want == "") != whole || (want != "" && stored != "") {
			if wrong++; wrong < 10 {
				t.Errorf("%s: reason %q (told: %t), stored %q; want reason %q", file, got, told, stored, want)
			}
		}
	}
	if wrong > 0 {
		t.Errorf("%d of %d are not as they should be", wrong, *stormSnapshots)
	}
}
