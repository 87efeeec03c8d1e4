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
	"slices"
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

// peers get the same pictures: as events of 10, as URL and key with a tab between, and as rclone's CSV.
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

// BenchmarkPeers measures whole processes, from their start to their end, against one S3 server, in turn, so that the machine's moods
// hit all of them: medians of CPU time, rate and peak memory. The rate is the server's, too. It wants some minutes to build rclone the
// first time:
//
//	go test ./cmd/snapshot-mirror -run '^$' -bench Peers -benchtime 9x
func BenchmarkPeers(b *testing.B) {
	useOrdinaryProgram(b)
	b.Setenv("PATH", filepath.Dir(storetest.Rclone(b))+string(filepath.ListSeparator)+os.Getenv("PATH"))
	server, lists := storetest.StartS3(b), b.TempDir()
	picture := make([]byte, 150<<10)
	_, _ = rand.NewChaCha8([32]byte{}).Read(picture)
	copy(picture, "\xff\xd8\xff\xe0")
	copy(picture[len(picture)-2:], "\xff\xd9")
	url := storetest.Serve(b, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", strconv.Itoa(len(picture)))
		w.Header().Set("ETag", `"6743d5f0-25800"`) // as nginx makes it
		_, _ = w.Write(picture)
	}))
	writeLists(b, lists, url)
	for _, concurrency := range []int{16, 64} {
		b.Run(fmt.Sprintf("%d at once", concurrency), func(b *testing.B) {
			runs := make([][]peerRun, len(peers))
			for run := 0; b.Loop(); run++ {
				for i, p := range peers {
					prefix := fmt.Sprintf("%s-%d-%d", p.name, concurrency, run) // the server remembers what an object was recorded with
					r := runPeer(b, p.command(server, lists, prefix, concurrency), filepath.Join(server.Folder, server.Bucket, prefix))
					runs[i] = append(runs[i], r)
				}
			}
			for i, p := range peers {
				b.ReportMetric(median(runs[i], func(r peerRun) float64 { return r.cpu.Seconds() * 1000 / peerPictures }), p.name+"-cpu-ms")
				b.ReportMetric(median(runs[i], func(r peerRun) float64 { return peerPictures / r.wall.Seconds() }), p.name+"-snapshots/s")
				b.ReportMetric(median(runs[i], func(r peerRun) float64 { return float64(r.peak) / mebibyte }), p.name+"-MiB")
			}
		})
	}
}

const peerPictures = 2000

type peerRun struct {
	cpu, wall time.Duration
	peak      int64 // resident bytes
}

// runPeer runs a program that puts the pictures into a folder, and removes them.
func runPeer(b *testing.B, c *exec.Cmd, folder string) (r peerRun) {
	b.Helper()
	var output strings.Builder
	c.Stdout, c.Stderr = &output, &output
	begin := time.Now()
	if err := c.Start(); err != nil {
		b.Fatal(err)
	}
	peak := make(chan int64)
	go func() { peak <- peakMemory(c.Process.Pid) }()
	err := c.Wait()
	r.wall, r.peak = time.Since(begin), <-peak
	if n := countFiles(b, folder); err != nil || n != peerPictures {
		b.Fatalf("%v, %d objects of %d\n%s", err, n, peerPictures, output.String())
	}
	if err := os.RemoveAll(folder); err != nil {
		b.Fatal(err)
	}
	u := c.ProcessState.SysUsage().(*syscall.Rusage)
	r.cpu = time.Duration(u.Utime.Nano() + u.Stime.Nano())
	return r
}

func median(runs []peerRun, of func(peerRun) float64) float64 {
	var values []float64
	for _, r := range runs {
		values = append(values, of(r))
	}
	slices.Sort(values)
	return values[len(values)/2]
}

func writeLists(b *testing.B, folder, url string) {
	var events, tsv, csv strings.Builder
	o := origin{URL: url}
	for i := 0; i < peerPictures; i += 10 {
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
