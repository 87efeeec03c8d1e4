package main

import (
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// A peer is a program that copies a list of pictures into a bucket.
type peer struct {
	name    string
	command func(s *storetest.Server, lists, prefix string, concurrency int) *exec.Cmd
}

// peers get the same 2,000 pictures: as events of 10, as URL and key with a tab between, and as rclone's CSV.
var peers = []peer{
	{"ceiling", func(s *storetest.Server, lists, prefix string, concurrency int) *exec.Cmd {
		return exec.Command("ceiling", filepath.Join(lists, "list.tsv"), s.Endpoint+"/"+s.Bucket+"/"+prefix, strconv.Itoa(concurrency), s.AccessKey, s.SecretKey)
	}},
	{"snapshot-mirror", func(s *storetest.Server, lists, prefix string, concurrency int) *exec.Cmd {
		c := exec.Command("snapshot-mirror", "backfill", "--allow-private-sources", "--progress", "off", "--concurrency", strconv.Itoa(concurrency),
			"--to", "s3://"+s.Bucket+"/"+prefix, filepath.Join(lists, "events.ndjson"))
		c.Env = append(os.Environ(), s.Env(s.Endpoint)...)
		return c
	}},
	{"rclone-copyurl", func(s *storetest.Server, lists, prefix string, concurrency int) *exec.Cmd {
		to := fmt.Sprintf(":s3,provider=Other,endpoint='%s',region=us-east-1,access_key_id=%s,secret_access_key='%s':%s/%s", s.Endpoint, s.AccessKey, s.SecretKey, s.Bucket, prefix)
		return exec.Command("rclone", "copyurl", "--config", "/dev/null", "--urls", filepath.Join(lists, "list.csv"), to, "--transfers", strconv.Itoa(concurrency), "--s3-no-check-bucket")
	}},
}

// BenchmarkPeers measures whole processes, from their start to their end, against one S3 server: CPU time and memory are the
// program's own, the rate depends on the server too. It wants Linux, and some minutes to build rclone the first time:
//
//	go test ./cmd/snapshot-mirror -run '^$' -bench Peers -benchtime 5x
func BenchmarkPeers(b *testing.B) {
	useOrdinaryProgram(b)
	b.Setenv("PATH", filepath.Dir(storetest.Rclone(b))+string(filepath.ListSeparator)+os.Getenv("PATH"))
	const pictures, size = 2000, 150 << 10
	server, lists := storetest.StartS3(b), b.TempDir()
	picture := make([]byte, size)
	_, _ = rand.NewChaCha8([32]byte{}).Read(picture)
	copy(picture, "\xff\xd8\xff\xe0")
	copy(picture[size-2:], "\xff\xd9")
	url := storetest.Serve(b, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(size))
		w.Header().Set("ETag", `"6743d5f0-25800"`) // as nginx makes it
		_, _ = w.Write(picture)
	}))
	writeLists(b, lists, url, pictures)
	for _, concurrency := range []int{16, 64} {
		for _, p := range peers {
			b.Run(fmt.Sprintf("%s/%d", p.name, concurrency), func(b *testing.B) {
				var cpu time.Duration
				var peak int64
				for b.Loop() {
					prefix := fmt.Sprintf("%s-%d", p.name, concurrency)
					c := p.command(server, lists, prefix, concurrency)
					var output strings.Builder
					c.Stdout, c.Stderr = &output, &output
					if err := c.Start(); err != nil {
						b.Fatal(err)
					}
					peaks := make(chan int64)
					go func() { peaks <- peakMemory(c.Process.Pid) }()
					err := c.Wait()
					peak = max(peak, <-peaks)
					b.StopTimer()
					folder := filepath.Join(server.Folder, server.Bucket, prefix)
					if n := countFiles(b, folder); err != nil || n != pictures {
						b.Fatalf("%v, %d objects of %d\n%s", err, n, pictures, output.String())
					}
					u := c.ProcessState.SysUsage().(*syscall.Rusage)
					cpu += time.Duration(u.Utime.Nano() + u.Stime.Nano())
					if err := os.RemoveAll(folder); err != nil {
						b.Fatal(err)
					}
					b.StartTimer()
				}
				b.ReportMetric(float64(cpu.Microseconds())/1000/float64(b.N*pictures), "cpu-ms/snapshot")
				b.ReportMetric(float64(b.N*pictures)/b.Elapsed().Seconds(), "snapshots/s")
				b.ReportMetric(float64(peak)/mebibyte, "peak-MiB")
			})
		}
	}
}

func writeLists(b *testing.B, folder, url string, pictures int) {
	var events, tsv, csv strings.Builder
	o := origin{URL: url}
	for i := 0; i < pictures; i += 10 {
		file := fmt.Sprintf("f%d", i)
		events.WriteString(o.event("task", file, 10, manyPaths(file, 10)...) + "\n")
		for j, path := range manyPaths(file, 10) {
			fmt.Fprintf(&tsv, "%s%s\t%s/%d\n", url, path, file, j*1000)
			fmt.Fprintf(&csv, "%s%s,%s/%d\n", url, path, file, j*1000)
		}
	}
	for name, text := range map[string]string{"events.ndjson": events.String(), "list.tsv": tsv.String(), "list.csv": csv.String()} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			b.Fatal(err)
		}
	}
}

func countFiles(b *testing.B, folder string) (n int) {
	err := filepath.WalkDir(folder, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			n++
		}
		return err
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		b.Fatal(err)
	}
	return n
}
