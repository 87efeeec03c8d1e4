package main

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// The documentation's own events, into a bucket of a real server, looked at with a client that is not ours.
func TestBackfillIntoBucket(t *testing.T) {
	origin, server := newOrigin(t), storetest.StartS3(t)
	local := strings.NewReplacer("http://125676836723.vod2.myqcloud.com", origin.URL)
	folder := t.TempDir()
	for _, name := range []string{"callback-v3.json", "pull-v3.json"} {
		text, err := os.ReadFile(filepath.Join("..", "..", "mirror", "vod", "testdata", name))
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, name), []byte(local.Replace(string(text))), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	backfill := func(events string) outcome {
		return runCommand(t, command(t, server.Env(server.Endpoint), "backfill", "--allow-private-sources", "--to", "s3://"+server.Bucket, events))
	}
	wantKeys := []string{"14508071098244929440/10000", "14508071098244929440/20000"}
	paths := []string{"/xxx/xxx/1.png", "/xxx/xxx/2.png"}
	wantBodies := func(t *testing.T) {
		t.Helper()
		for i, key := range wantKeys {
			if got := server.S5cmd(t, "cat", "s3://"+server.Bucket+"/"+key); !bytes.Equal(got, origin.picture(paths[i])) {
				t.Errorf("%s: %d bytes that are not the picture", key, len(got))
			}
		}
	}
	stat := func(t *testing.T) minio.ObjectInfo {
		t.Helper()
		info, err := server.Client(t).StatObject(t.Context(), server.Bucket, wantKeys[0], minio.StatObjectOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return info
	}

	t.Run("mirrored", func(t *testing.T) {
		// Both files announce the same two pictures: the second time they are there.
		if got := backfill(folder); got.code != exitOK || !strings.Contains(got.stdout, "mirrored  2 ") {
			t.Fatalf("%+v", got)
		}
		if diff := cmp.Diff(wantKeys, server.Names(t)); diff != "" {
			t.Errorf("keys (-want +got):\n%s", diff)
		}
		wantBodies(t)
		listing := string(server.S5cmd(t, "--json", "head", "s3://"+server.Bucket+"/"+wantKeys[0]))
		if !strings.Contains(listing, "image/png") {
			t.Errorf("s5cmd head: %s, want content type image/png", listing)
		}
		got := origin.asked()
		slices.Sort(got)
		if diff := cmp.Diff(paths, got); diff != "" {
			t.Errorf("asked for (-want +got):\n%s", diff)
		}
	})
	t.Run("again", func(t *testing.T) {
		if got := backfill(filepath.Join(folder, "callback-v3.json")); got.code != exitOK || !strings.Contains(got.stdout, "skipped   2 ") {
			t.Errorf("%+v", got)
		}
		if got := origin.asked(); len(got) != 0 {
			t.Errorf("asked for %q, want nothing", got)
		}
	})
	t.Run("another definition", func(t *testing.T) {
		before := stat(t)
		text, _ := os.ReadFile(filepath.Join(folder, "callback-v3.json"))
		got := backfill(writeFile(t, strings.Replace(string(text), `"Definition": 10`, `"Definition": 20`, 1)))
		if got.code != exitFailed || !strings.Contains(got.stdout, "key_conflict") || !strings.Contains(got.stderr, "{definition}") {
			t.Errorf("%+v", got)
		}
		if diff := cmp.Diff(before.LastModified, stat(t).LastModified); diff != "" {
			t.Errorf("the object was touched:\n%s", diff)
		}
		wantBodies(t)
	})
	t.Run("another task", func(t *testing.T) {
		origin.asked()
		text, _ := os.ReadFile(filepath.Join(folder, "callback-v3.json"))
		got := backfill(writeFile(t, strings.Replace(string(text), "CreateSnapshotByTimeOffset-1edb", "CreateSnapshotByTimeOffset-2222", 1)))
		if got.code != exitOK || !strings.Contains(got.stdout, "mirrored  2 ") {
			t.Errorf("%+v", got)
		}
		if task := stat(t).UserMetadata["Task-Id"]; !strings.HasPrefix(task, "CreateSnapshotByTimeOffset-2222") {
			t.Errorf("recorded task %q, want the new one", task)
		}
		if got := len(origin.asked()); got != 2 {
			t.Errorf("%d GETs, want 2", got)
		}
	})
}

// With virtual-host addressing the bucket is a part of the host's name. An HTTP proxy stands for the resolver.
func TestVirtualHostAddressing(t *testing.T) {
	origin, server := newOrigin(t), storetest.StartS3(t)
	var mu sync.Mutex
	hosts := map[string]bool{}
	proxy := server.Proxy(t, func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		hosts[r.Host] = true
		return false
	})
	env := append(server.Env("http://"+storetest.VirtualDomain), "HTTP_PROXY="+proxy)
	got := runCommand(t, command(t, env, "backfill", "--allow-private-sources", "--to", "s3://"+server.Bucket, "--s3-addressing", "virtual",
		writeFile(t, origin.event("task", "1", 10, "/1.jpg"))))
	if got.code != exitOK {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff(map[string]bool{server.Bucket + "." + storetest.VirtualDomain: true}, hosts); diff != "" {
		t.Errorf("hosts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"1/0"}, server.Names(t)); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
}
