package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The documentation's own callback, posted with curl, into a directory.
func TestServeMirrorsWhatIsPosted(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	text, err := os.ReadFile(filepath.Join("..", "..", "mirror", "vod", "testdata", "callback-v3.json"))
	if err != nil {
		t.Fatal(err)
	}
	event := writeFile(t, strings.ReplaceAll(string(text), "http://125676836723.vod2.myqcloud.com", origin.URL))
	s := startServe(t, nil, "--to", folder)
	if status, body := s.get("/livez"); status != http.StatusOK {
		t.Errorf("livez: %d %s", status, body)
	}
	if !s.ready() {
		t.Error("not ready")
	}
	begin := time.Now()
	out, err := exec.Command("curl", "-sS", "-d", "@"+event, s.callback).CombinedOutput()
	if err != nil || !strings.Contains(string(out), `"queued":1`) {
		t.Fatalf("curl: %v: %s", err, out)
	}
	for i, name := range []string{"10000", "20000"} {
		var got []byte
		waitFor(t, name, 10*time.Second, func() bool {
			got, err = os.ReadFile(filepath.Join(folder, "14508071098244929440", name))
			return err == nil
		})
		if !bytes.Equal(got, origin.picture(fmt.Sprintf("/xxx/xxx/%d.png", i+1))) {
			t.Errorf("%s is not the picture", name)
		}
	}
	t.Logf("mirrored %v after curl was started", time.Since(begin).Round(time.Millisecond))
	waitFor(t, "idle", 10*time.Second, s.idle)
	waitFor(t, "progress in the log", 20*time.Second, func() bool {
		return s.log.contains(`"msg":"progress since the last such line","mirrored":2,"skipped":0,"failed_tries":0,"events":0,"ready":0,"delayed":0,"dead":0}`)
	})
	if !s.log.contains(`"queue":"`) {
		t.Error("serve does not say where its queue is")
	}
	if got := s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`); got != 2 {
		t.Errorf("%v counted as mirrored, want 2", got)
	}
	if got := s.metric(`snapshot_mirror_events_total{outcome="queued",source="callback"}`); got != 1 {
		t.Errorf("%v events counted, want 1", got)
	}
	if code, took := s.terminate(); code != exitOK || took > 5*time.Second {
		t.Errorf("SIGTERM: exit code %d after %v, want 0 soon", code, took)
	}
}

func TestSameEventManyTimesAtOnce(t *testing.T) {
	origin := newOrigin(t)
	s := startServe(t, nil, "--to", t.TempDir())
	paths := manyPaths("same", 8)
	event := origin.event("task", "1", 10, paths...)
	var posts sync.WaitGroup
	for range 100 {
		posts.Go(func() {
			if got := s.post(event); got != http.StatusOK {
				t.Errorf("status %d, want 200", got)
			}
		})
	}
	posts.Wait()
	waitFor(t, "idle", time.Minute, s.idle)
	asked := map[string]int{}
	for _, path := range origin.asked() {
		asked[path]++
	}
	for _, path := range paths {
		if asked[path] != 1 {
			t.Errorf("%s was asked for %d times, want once", path, asked[path])
		}
	}
}

// VOD may send a task in both its formats, and a procedure each time that more of it is done: each picture is one object, fetched once.
func TestEveryFormatOfATask(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	s := startServe(t, nil, "--to", folder)
	v2 := fmt.Sprintf(`{"version":"4.0","eventType":"CreateSnapshotByTimeOffsetComplete","data":{"vodTaskId":"task","fileId":"1","definition":10,
		"picInfo":[{"status":0,"timeOffset":0,"url":"%s/1/0.jpg"},{"status":0,"timeOffset":1000,"url":"%[1]s/1/1.jpg"}]}}`, origin.URL)
	procedure := func(results string) string {
		return fmt.Sprintf(`{"EventType":"ProcedureStateChanged","ProcedureStateChangeEvent":{"TaskId":"p","FileId":"2","MediaProcessResultSet":[%s]}}`, results)
	}
	result := func(definition, offset int) string {
		return fmt.Sprintf(`{"Type":"SnapshotByTimeOffset","SnapshotByTimeOffsetTask":{"Status":"SUCCESS","Input":{"Definition":%d},
			"Output":{"Definition":0,"PicInfoSet":[{"TimeOffset":%d.0,"Url":"%s/2/%[2]d.jpg"}]}}}`, definition, offset, origin.URL)
	}
	for _, event := range []string{v2, origin.event("task", "1", 10, "/1/0.jpg", "/1/1.jpg"),
		procedure(result(10, 500)), procedure(result(10, 500) + "," + result(20, 1500))} {
		if got := s.post(event); got != http.StatusOK {
			t.Fatalf("status %d", got)
		}
	}
	waitFor(t, "idle", 20*time.Second, s.idle)
	for name, path := range map[string]string{"1/0": "/1/0.jpg", "1/1000": "/1/1.jpg", "2/500": "/2/500.jpg", "2/1500": "/2/1500.jpg"} {
		got, err := os.ReadFile(filepath.Join(folder, name))
		if err != nil || !bytes.Equal(got, origin.picture(path)) {
			t.Errorf("%s: %v, or not the picture", name, err)
		}
	}
	if got := origin.asked(); len(got) != 4 {
		t.Errorf("GETs %q, want one of each picture", got)
	}
	if got := s.metric(metricDead); got != 0 {
		t.Errorf("%v dead letters", got)
	}
}

// One of 200 is broken for ever: the others are asked for exactly once, and it alone is a dead letter.
func TestOneBrokenOfManyCostsItself(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	s := startServe(t, nil, "--to", folder, "--retry-min", "100ms", "--retry-max", "300ms", "--give-up-after", "2s", "--source-retries", "0")
	paths := append(manyPaths("many", 199), "/missing/199.jpg")
	if got := s.post(origin.event("task", "1", 10, paths...)); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	waitFor(t, "one dead letter", time.Minute, func() bool { return s.idle() && s.metric(metricDead) == 1 })
	asked := map[string]int{}
	for _, path := range origin.asked() {
		asked[path]++
	}
	for i, path := range paths {
		switch {
		case i < 199 && asked[path] != 1:
			t.Errorf("%s was asked for %d times, want once", path, asked[path])
		case i == 199 && asked[path] < 3:
			t.Errorf("%s was asked for %d times, want several", path, asked[path])
		}
	}
}

// A picture that appears after its event is mirrored by itself; one that does not is told, and mirrored when it is retried.
func TestMissingPictures(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	s := startServe(t, nil, "--to", folder, "--retry-min", "100ms", "--retry-max", "500ms", "--give-up-after", "3s")
	var mu sync.Mutex
	missing := map[string]bool{"/late/1.jpg": true, "/never/1.jpg?sign=secret": true}
	origin.setAnswer(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if missing[r.URL.RequestURI()] {
			http.NotFound(w, r)
			return true
		}
		return false
	})
	if got := s.post(origin.event("task", "late", 10, "/late/1.jpg") + origin.event("task", "never", 10, "/never/1.jpg?sign=secret")); got != http.StatusOK {
		t.Fatalf("status %d", got)
	}
	waitFor(t, "a delayed snapshot", 10*time.Second, func() bool { return s.metric(metricDelayed) == 2 })
	mu.Lock()
	delete(missing, "/late/1.jpg")
	mu.Unlock()
	late := filepath.Join(folder, "late", "0")
	waitFor(t, "the late picture", 10*time.Second, func() bool { _, err := os.Stat(late); return err == nil })
	waitFor(t, "a dead letter", 30*time.Second, func() bool { return s.metric(metricDead) == 1 })

	list := s.run("failed", "list")
	if list.code != exitOK || !strings.Contains(list.stdout, "source_missing") || !strings.Contains(list.stdout, "never") || strings.Contains(list.stdout, "secret") {
		t.Errorf("failed list: %+v", list)
	}
	asJSON := s.run("failed", "list", "--json", "--reason", "source_missing")
	var line struct {
		Failure struct {
			Reason, Error string
			First, Last   time.Time
			Attempts      int
		}
	}
	if err := json.Unmarshal([]byte(asJSON.stdout), &line); err != nil {
		t.Fatalf("%v: %+v", err, asJSON)
	}
	f := line.Failure
	if f.Reason != "source_missing" || f.Error == "" || f.Attempts < 2 || f.Last.Sub(f.First) < 3*time.Second || strings.Contains(f.Error, "secret") {
		t.Errorf("failure %+v", f)
	}
	for _, none := range [][]string{{"--reason", "too_large"}, {"--file-id", "late"}, {"--older-than", "1h"}} {
		if got := s.run(append([]string{"failed", "list", "--json"}, none...)...); got.stdout != "" || got.code != exitOK {
			t.Errorf("%q: %+v, want nothing", none, got)
		}
	}
	if got := s.run("failed", "list", "--file-id", "late"); !strings.Contains(got.stderr, "no failed snapshots match") {
		t.Errorf("a filter that chooses none: %+v", got)
	}

	mu.Lock()
	clear(missing)
	mu.Unlock()
	// The list is input for backfill.
	other := t.TempDir()
	if got := runCommand(t, command(t, nil, "backfill", "--allow-private-sources", "--to", other, writeFile(t, asJSON.stdout))); got.code != exitOK {
		t.Errorf("backfill of the list: %+v", got)
	}
	never := filepath.Join("never", "0")
	if _, err := os.Stat(filepath.Join(other, never)); err != nil {
		t.Error(err)
	}
	if got := s.run("failed", "retry"); got.code != exitUsage {
		t.Errorf("retry without a choice: %+v, want a usage error", got)
	}
	if got := s.run("failed", "retry", "--file-id", "never"); got.code != exitOK || !strings.HasPrefix(got.stdout, "1 ") {
		t.Errorf("retry: %+v", got)
	}
	waitFor(t, "the retried picture", 10*time.Second, func() bool { _, err := os.Stat(filepath.Join(folder, never)); return err == nil })
	waitFor(t, "an empty list", 10*time.Second, func() bool { return s.metric(metricDead) == 0 && s.idle() })

	s.post(`{"EventType":"CreateSnapshotByTimeOffsetComplete","SnapshotByTimeOffsetCompleteEvent":{"FileId":"1","SnapshotInfoSet":[{"ErrCode":0,"TimeOffset":-1,"Url":"http://h/1.jpg"}]}}`)
	waitFor(t, "a dead letter at once", 10*time.Second, func() bool { return s.metric(metricDead) == 1 })
	if got := s.run("failed", "discard", "--all"); got.code != exitOK || !strings.HasPrefix(got.stdout, "1 ") {
		t.Errorf("discard: %+v", got)
	}
	if got := s.run("failed", "list"); got.stdout != "" || !strings.Contains(got.stderr, "no failed snapshots") {
		t.Errorf("list: %+v", got)
	}
	if s.log.contains("secret") {
		t.Error("a query stands in the log")
	}
}

// SIGTERM in the middle: what is in flight is finished, the rest is there at the next start.
func TestDrain(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	origin.setGate(func(string) { time.Sleep(20 * time.Millisecond) })
	s := startServe(t, nil, "--to", folder, "--drain", "10s", "--concurrency", "8")
	acknowledged := map[string]bool{}
	var mu sync.Mutex
	var posts sync.WaitGroup
	for c := range 4 {
		posts.Go(func() {
			for i := range 1000 {
				file := fmt.Sprintf("%d-%d", c, i)
				status := s.post(origin.event("task", file, 10, manyPaths(file, 5)...))
				if status == 0 {
					return
				}
				if status == http.StatusOK {
					mu.Lock()
					acknowledged[file] = true
					mu.Unlock()
				}
			}
		})
	}
	waitFor(t, "some work", 10*time.Second, func() bool { return s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`) > 20 })
	code, took := s.terminate()
	posts.Wait()
	if code != exitOK || took > 10*time.Second {
		t.Errorf("exit code %d after %v, want 0 within the drain time", code, took)
	}
	t.Logf("%d events acknowledged, drained in %v", len(acknowledged), took.Round(time.Millisecond))
	origin.setGate(nil)
	asked := origin.asked()
	s.start()
	waitFor(t, "idle", 2*time.Minute, s.idle)
	for file := range acknowledged {
		for i, path := range manyPaths(file, 5) {
			got, err := os.ReadFile(filepath.Join(folder, file, fmt.Sprint(i*1000)))
			if err != nil || !bytes.Equal(got, origin.picture(path)) {
				t.Errorf("%s: %v, or not the picture", path, err)
			}
		}
	}
	// What was finished was settled: nothing was fetched twice.
	count := map[string]int{}
	for _, path := range append(asked, origin.asked()...) {
		count[path]++
	}
	for path, n := range count {
		if n != 1 {
			t.Errorf("%s was fetched %d times", path, n)
		}
	}
}

// What does not end within the drain time is interrupted, stays queued, and is no failure.
func TestDrainTimeEnds(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	block := make(chan struct{})
	origin.setGate(func(string) { <-block })
	s := startServe(t, nil, "--to", folder, "--drain", "1s")
	s.post(origin.event("task", "1", 10, manyPaths("1", 5)...))
	waitFor(t, "work in flight", 10*time.Second, func() bool { return s.metric("snapshot_mirror_in_flight") == 5 })
	if code, took := s.terminate(); code != exitOK || took < time.Second || took > 5*time.Second {
		t.Errorf("exit code %d after %v, want 0 after a second", code, took)
	}
	close(block)
	s.start()
	waitFor(t, "idle", 20*time.Second, s.idle)
	if diff := cmp.Diff(float64(5), s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`)); diff != "" {
		t.Errorf("mirrored (-want +got):\n%s", diff)
	}
}

func TestEnqueueAndShards(t *testing.T) {
	origin, folder := newOrigin(t), t.TempDir()
	s := startServe(t, nil, "--to", folder)
	var events strings.Builder
	for i := range 60 {
		file := fmt.Sprint("f", i)
		events.WriteString(origin.event("task", file, 10, manyPaths(file, 3)...) + "\n")
	}
	name := writeFile(t, events.String())
	if got := s.run("backfill", "--enqueue", name); got.code != exitOK || !strings.Contains(got.stdout, "enqueued  180 ") {
		t.Fatalf("%+v", got)
	}
	waitFor(t, "180 pictures", time.Minute, func() bool { return s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`) == 180 })
	if got := s.metric(`snapshot_mirror_events_total{outcome="queued",source="enqueue"}`); got < 60 || got > 61 { // one is in two parts
		t.Errorf("%v events, want those of the file", got)
	}
	if got := s.run("backfill", "--enqueue", writeFile(t, "")); got.code != exitOK || !strings.Contains(got.stdout, "enqueued  0 ") {
		t.Errorf("nothing to enqueue: %+v", got)
	}
	s.terminate()
	if got := s.run("backfill", "--enqueue", name); got.code != exitCannotRun || !strings.Contains(got.stderr, "hint: is serve running") {
		t.Errorf("without a serve: %+v", got)
	}

	shares := t.TempDir()
	total := 0
	for i := range 4 {
		got := runCommand(t, command(t, nil, "backfill", "--allow-private-sources", "--to", shares, "--shard", fmt.Sprintf("%d/4", i), name))
		if got.code != exitOK || strings.Contains(got.stdout, "skipped   1") {
			t.Errorf("%+v", got)
		}
		entries, err := os.ReadDir(shares)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) <= total {
			t.Errorf("share %d of 4 had nothing to do", i)
		}
		total = len(entries)
	}
	if total-1 != 60 { // and .snapshot-mirror
		t.Errorf("%d files in all, want 60", total-1)
	}
}
