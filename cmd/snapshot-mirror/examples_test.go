package main

import (
	"compress/gzip"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/minio/minio-go/v7"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod/vodtest"
	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// Every example of --help runs as it is written, in its order, and does what its words say.
func TestHelpExamples(t *testing.T) {
	origin, bucket, api := newOrigin(t), storetest.StartS3(t), vodtest.Start(t, vodOptions)
	if err := bucket.Client(t).MakeBucket(t.Context(), "my-bucket", minio.MakeBucketOptions{}); err != nil {
		t.Fatal(err)
	}
	api.SetMedia(vodtest.Media{FileID: "from-vod", CreateTime: time.Now().Add(-time.Hour), Snapshots: fmt.Sprintf(
		`{"SnapshotByTimeOffsetSet":[{"Definition":10,"PicInfoSet":[{"TimeOffset":0,"Url":"%s/vod.jpg"}]}]}`, origin.URL)})
	var events strings.Builder
	for i := range 100 { // enough for each of sixteen shares
		fmt.Fprintln(&events, origin.event("task", fmt.Sprint("video-", i), 10, fmt.Sprintf("/%d.jpg", i)))
	}
	env := append(append(bucket.Env(bucket.Endpoint), vodSettings(api)...), "SNAPSHOT_MIRROR_ALLOW_PRIVATE_SOURCES=true")
	server := startServe(t, env, "--to", t.TempDir(), "--give-up-after", "1ms", "--retry-min", "100ms")
	if got := server.post(origin.event("task", "5285890780000000001", 10, "/missing/1.jpg", "/missing/2.jpg")); got != 200 {
		t.Fatalf("status %d", got)
	}
	waitFor(t, "dead letters", 30*time.Second, func() bool { return server.metric(metricDead) == 2 })

	for _, test := range []struct {
		command string
		n       int // examples at least
		env     []string
		files   []string // of the bucket and of the folder, that must be there in the end
	}{
		{"backfill", 8, nil, []string{"my-bucket/snapshots/video-0/0", "my-bucket/from-vod/0", "pictures/video-99/0", "mirrored/video-0/0", "report.ndjson", "failed.ndjson"}},
		{"verify", 6, nil, []string{"verified.ndjson"}},
		{"serve", 3, []string{"SNAPSHOT_MIRROR_LISTEN=127.0.0.1:0", "SNAPSHOT_MIRROR_ADMIN_LISTEN=127.0.0.1:0"}, []string{"data"}},
		{"failed", 4, []string{"SNAPSHOT_MIRROR_ADMIN_URL=" + server.admin}, []string{"failed.ndjson"}},
		{"check", 3, nil, nil},
		{"demo", 2, nil, []string{"mirrored/5285890780000000001/0", "my-bucket/demo/5285890780000000001/0"}},
	} {
		t.Run(test.command, func(t *testing.T) {
			folder := t.TempDir()
			writeEvents(t, folder, events.String())
			examples := helpExamples(t, test.command)
			if test.command == "verify" { // it wants something to look at
				for _, to := range []string{"s3://my-bucket/snapshots", "./pictures"} {
					c := command(t, env, "backfill", "--to", to, "events")
					if c.Dir = folder; runCommand(t, c).code != exitOK {
						t.Fatalf("nothing to verify in %s", to)
					}
				}
			}
			if len(examples) < test.n {
				t.Errorf("%d examples, want %d", len(examples), test.n)
			}
			for _, line := range examples {
				c := command(t, append(env, test.env...), line)
				c.Path, c.Args, c.Dir = "/bin/sh", []string{"sh", "-c", line}, folder
				if test.command == "serve" {
					serveExample(t, c)
				} else if got := runCommand(t, c); got.code != exitOK {
					t.Errorf("%s\nexit code %d:\n%s%s", line, got.code, got.stdout, got.stderr)
				}
			}
			for _, name := range test.files {
				_, inFolder := os.Stat(filepath.Join(folder, name))
				_, inBucket := os.Stat(filepath.Join(bucket.Folder, name))
				if inFolder != nil && inBucket != nil {
					t.Errorf("%s is not there", name)
				}
			}
		})
	}
}

// helpExamples gives the commands that a command's --help shows.
func helpExamples(t *testing.T, name string) (lines []string) {
	got := runCommand(t, command(t, nil, name, "--help"))
	for line := range strings.Lines(got.stdout) {
		line, indented := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "    ")
		if indented && !strings.HasPrefix(line, " ") && strings.Contains(line, "snapshot-mirror "+name) {
			lines = append(lines, line)
		}
	}
	return lines
}

func writeEvents(t *testing.T, folder, events string) {
	t.Helper()
	if err := os.Mkdir(filepath.Join(folder, "events"), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "events", "1.ndjson"), []byte(events), 0o644); err != nil {
		t.Fatal(err)
	}
	zipped, err := os.Create(filepath.Join(folder, "events.ndjson.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer zipped.Close()
	w := gzip.NewWriter(zipped)
	if _, err := w.Write([]byte(events)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
}

// serveExample starts a serve, waits until it serves, and stops it.
func serveExample(t *testing.T, c *exec.Cmd) {
	t.Helper()
	log := &logBuffer{}
	c.Stderr = log
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // the signal is for the shell's child too
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- c.Wait() }()
	t.Cleanup(func() {
		if len(exited) == 0 && t.Failed() {
			_ = syscall.Kill(-c.Process.Pid, syscall.SIGKILL)
		}
	})
	waitFor(t, "serving: "+c.Args[2], 30*time.Second, func() bool { return log.contains("msg=serving") || len(exited) > 0 })
	_ = syscall.Kill(-c.Process.Pid, syscall.SIGTERM)
	waitFor(t, "the end of: "+c.Args[2], 30*time.Second, func() bool { return len(exited) > 0 })
	if !log.contains("msg=stopped") {
		t.Errorf("%s\n%s", c.Args[2], log.tail(4000))
	}
}
