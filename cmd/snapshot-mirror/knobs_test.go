package main

import (
	"net/http"
	"path"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// What the settings say of objects reaches the bucket with each picture, and with check's probe; and what they say of speed and choice
// is done.
func TestKnobs(t *testing.T) {
	origin, server := newOrigin(t), storetest.StartS3(t)
	names := []string{"X-Amz-Storage-Class", "Cache-Control", "X-Amz-Tagging", "X-Amz-Server-Side-Encryption", "X-Amz-Server-Side-Encryption-Aws-Kms-Key-Id"}
	want := []string{"STANDARD_IA", "public, max-age=60", "source=vod&team=video", "aws:kms", "alias/pictures"}
	var mu sync.Mutex
	put := map[string]bool{}
	proxy := server.Proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodPut {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		put[path.Base(r.URL.Path)] = true
		var got []string
		for _, name := range names {
			got = append(got, r.Header.Get(name))
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", r.URL.Path, diff)
		}
		return false
	})
	objects := []string{
		"--to=s3://" + server.Bucket, "--storage-class=STANDARD_IA", "--cache-control=public, max-age=60", "--tag=team=video,source=vod", "--sse=KMS", "--sse-kms-key-id=alias/pictures",
	}
	events := writeFile(t, origin.event("task", "1", 10, "/1.jpg", "/2.jpg", "/3.jpg"))
	begin := time.Now()
	got := runCommand(t, command(t, server.Env(proxy), append([]string{
		"backfill", "--allow-private-sources", "--rate=1", "--bandwidth=1MB", "--exclude=time-offset=0", events}, objects...)...))
	if got.code != exitOK || !strings.Contains(got.stdout, "mirrored  2 ") || !strings.Contains(got.stdout, "left out  1 ") {
		t.Errorf("%+v", got)
	}
	if took := time.Since(begin); took < time.Second {
		t.Errorf("two fetches took %s, with --rate 1", took)
	}
	tags, err := server.Client(t).GetObjectTagging(t.Context(), server.Bucket, server.Names(t)[0], minio.GetObjectTaggingOptions{})
	if err != nil || tags.ToMap()["team"] != "video" {
		t.Errorf("tags %v, %v", tags, err)
	}
	if got := runCommand(t, command(t, server.Env(proxy), append([]string{"check"}, objects...)...)); got.code != exitOK {
		t.Errorf("%+v", got)
	}
	if !put[".snapshot-mirror-probe"] || len(put) != 3 {
		t.Errorf("put: %v", put)
	}
}

// What a sidecar leaves out is counted, and neither queued nor a reason to refuse the event.
func TestServeLeavesOut(t *testing.T) {
	origin := newOrigin(t)
	s := startServe(t, nil, "--to", t.TempDir(), "--include", "definition=10")
	for _, definition := range []int{10, 20} {
		if status := s.post(origin.event("task", "1", definition, "/1.jpg", "/2.jpg")); status != http.StatusOK {
			t.Errorf("definition %d: %d", definition, status)
		}
	}
	waitFor(t, "the queue is empty", 30*time.Second, s.idle)
	mirrored := s.metric(`snapshot_mirror_snapshots_total{outcome="mirrored",reason=""}`)
	if leftOut := s.metric(`snapshot_mirror_left_out_total{source="callback"}`); mirrored != 2 || leftOut != 2 {
		t.Errorf("%g mirrored, %g left out; want 2 and 2", mirrored, leftOut)
	}
}
