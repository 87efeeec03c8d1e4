package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// many writes events for n pictures, ten to an event, and gives the file and the picture's path of each key.
func many(t *testing.T, o *origin, n int) (file string, paths map[string]string) {
	t.Helper()
	var text strings.Builder
	paths = map[string]string{}
	for i := 0; i < n; i += 10 {
		id := fmt.Sprintf("52858907800000%05d", i)
		var event []string
		for j := range 10 {
			path := fmt.Sprintf("/%s/%d.jpg", id, j)
			event = append(event, path)
			paths[fmt.Sprintf("%s/%d", id, j*1000)] = path
		}
		text.WriteString(o.event("task", id, 10, event...) + "\n")
	}
	return writeFile(t, text.String()), paths
}

// checkFiles sees that every visible file is the whole picture of its key, and gives how many there are.
func checkFiles(t *testing.T, o *origin, root string, paths map[string]string) int {
	t.Helper()
	n := 0
	_ = filepath.WalkDir(root, func(name string, e fs.DirEntry, err error) error {
		if err != nil {
			return nil // not made yet
		}
		if e.IsDir() {
			if e.Name() == ".snapshot-mirror" {
				return fs.SkipDir
			}
			return nil
		}
		key, _ := filepath.Rel(root, name)
		body, err := os.ReadFile(name)
		if err != nil || !bytes.Equal(body, o.picture(paths[filepath.ToSlash(key)])) {
			t.Errorf("%s: %d bytes that are not the whole picture (%v)", key, len(body), err)
		}
		n++
		return nil
	})
	return n
}

func TestKillIntoDirectory(t *testing.T) {
	const n = 2000
	origin := newOrigin(t)
	events, paths := many(t, origin, n)
	root := filepath.Join(t.TempDir(), "mirrored")
	args := []string{"backfill", "--allow-private-sources", "--to", root, events}

	killInTheMiddle(t, origin, nil, args, n/3)
	there := checkFiles(t, origin, root, paths)
	if there == 0 || there == n {
		t.Fatalf("%d of %d there after the kill: that was not the middle", there, n)
	}
	second := command(t, nil, args...)
	quit, watched := make(chan struct{}), make(chan struct{})
	go func() { // no partial file at any time
		defer close(watched)
		for {
			select {
			case <-quit:
				return
			default:
				checkFiles(t, origin, root, paths)
			}
		}
	}()
	got := runCommand(t, second)
	close(quit)
	<-watched
	if got.code != exitOK || !strings.Contains(got.stdout, "skipped") {
		t.Errorf("second run: %+v", got)
	}
	if there := checkFiles(t, origin, root, paths); there != n {
		t.Errorf("%d of %d there in the end", there, n)
	}
}

func TestKillIntoBucket(t *testing.T) {
	const n = 2000
	origin, server := newOrigin(t), storetest.StartS3(t)
	events, paths := many(t, origin, n)
	env := server.Env(server.Endpoint)
	args := []string{"backfill", "--allow-private-sources", "--to", "s3://" + server.Bucket, events}
	bucket := filepath.Join(server.Folder, server.Bucket) // a folder, since the server is versitygw

	killInTheMiddle(t, origin, env, args, n/3)
	there := checkFiles(t, origin, bucket, paths)
	if there == 0 || there == n {
		t.Fatalf("%d of %d there after the kill: that was not the middle", there, n)
	}
	if got := runCommand(t, command(t, env, args...)); got.code != exitOK {
		t.Errorf("second run: %+v", got)
	}
	if got := len(server.Names(t)); got != n {
		t.Errorf("%d of %d listed in the end", got, n)
	}
	if there := checkFiles(t, origin, bucket, paths); there != n {
		t.Errorf("%d of %d there in the end", there, n)
	}
}

// killInTheMiddle runs the program and kills it when the origin has been asked for the nth picture.
func killInTheMiddle(t *testing.T, o *origin, env, args []string, nth int64) {
	t.Helper()
	var asked atomic.Int64
	reached := make(chan struct{})
	o.setGate(func(string) {
		if asked.Add(1) == nth {
			close(reached)
		}
	})
	defer o.setGate(nil)
	c := command(t, env, args...)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-reached
	if err := c.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = c.Wait()
}

// An interrupted backfill finishes what is in flight and reports it; run again, it does the rest.
func TestInterrupt(t *testing.T) {
	const n, concurrency, before = 100, 8, 24 // so many pictures prove that the host works, so that it gets all workers
	origin := newOrigin(t)
	events, paths := many(t, origin, n)
	root, report := filepath.Join(t.TempDir(), "mirrored"), filepath.Join(t.TempDir(), "report.ndjson")
	args := []string{"backfill", "--allow-private-sources", "--concurrency", fmt.Sprint(concurrency), "--to", root, "--report", report, "--progress", "off", events}

	var waiting sync.WaitGroup
	waiting.Add(concurrency)
	release := make(chan struct{})
	var asked atomic.Int64
	origin.setGate(func(string) {
		if asked.Add(1) > before {
			waiting.Done()
			<-release
		}
	})
	c := command(t, nil, args...)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	waiting.Wait()
	if err := c.Process.Signal(syscall.SIGINT); err != nil {
		t.Fatal(err)
	}
	waitForLine(t, bufio.NewScanner(stderr), "interrupted: finishing what is in flight")
	close(release)
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
	if got := len(reportLines(t, report)); got != before+concurrency {
		t.Errorf("%d lines in the report, want %d and the %d that were in flight", got, before, concurrency)
	}
	if got := checkFiles(t, origin, root, paths); got != before+concurrency {
		t.Errorf("%d pictures, want %d", got, before+concurrency)
	}

	origin.setGate(nil)
	if got := runCommand(t, command(t, nil, args...)); got.code != exitOK || !strings.Contains(got.stdout, fmt.Sprintf("mirrored  %d ", n-before-concurrency)) {
		t.Errorf("second run: %+v", got)
	}
	if got := checkFiles(t, origin, root, paths); got != n {
		t.Errorf("%d pictures, want %d", got, n)
	}
}

func TestSecondInterruptKills(t *testing.T) {
	origin := newOrigin(t)
	events, _ := many(t, origin, 10)
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	defer close(release)
	origin.setGate(func(string) { asked <- struct{}{}; <-release })
	c := command(t, nil, "backfill", "--allow-private-sources", "--to", filepath.Join(t.TempDir(), "m"), events)
	stderr, err := c.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	lines := bufio.NewScanner(stderr)
	_ = c.Process.Signal(syscall.SIGINT)
	waitForLine(t, lines, "interrupted")
	_ = c.Process.Signal(syscall.SIGINT)
	_ = c.Wait()
	if status := c.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGINT {
		t.Errorf("ended with %v, want the signal", c.ProcessState)
	}
}

// A reader that waits for standard input must not keep an interrupted backfill alive.
func TestInterruptWhileReading(t *testing.T) {
	origin := newOrigin(t)
	c := command(t, nil, "backfill", "--allow-private-sources", "--to", filepath.Join(t.TempDir(), "m"), "--json", "-")
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	fmt.Fprintln(stdin, origin.event("task", "1", 10, "/1.jpg"))
	waitForLine(t, bufio.NewScanner(stdout), `"outcome":"mirrored"`) // though the pipe is still open
	_ = c.Process.Signal(syscall.SIGTERM)
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
}

func waitForLine(t *testing.T, lines *bufio.Scanner, part string) {
	t.Helper()
	for lines.Scan() {
		if strings.Contains(lines.Text(), part) {
			return
		}
	}
	t.Fatalf("no line with %q", part)
}

// reportLine is what the README promises about a line of a report.
type reportLine struct {
	FileID     string  `json:"file_id"`
	TimeOffset float64 `json:"time_offset"`
	Definition int64   `json:"definition"`
	TaskID     string  `json:"task_id"`
	Key        string  `json:"key"`
	Outcome    string  `json:"outcome"`
	Reason     string  `json:"reason"`
	Bytes      int64   `json:"bytes"`
	Attempts   int     `json:"attempts"`
	Elapsed    float64 `json:"elapsed"`
	Error      string  `json:"error"`
}

func reportLines(t *testing.T, name string) []reportLine {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	var lines []reportLine
	for line := range bytes.Lines(text) {
		var r reportLine
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(&r); err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		lines = append(lines, r)
	}
	return lines
}
