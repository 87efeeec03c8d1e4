package main

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

// The file of failed snapshots has URLs with signatures: it is its owner's alone.
func TestFailedFileIsPrivate(t *testing.T) {
	origin := newOrigin(t)
	failed := filepath.Join(t.TempDir(), "failed.ndjson")
	got := runCommand(t, command(t, nil, "backfill", "--allow-private-sources", "--to", t.TempDir(), "--failed", failed,
		writeFile(t, origin.event("task", "1", 10, "/missing/1.jpg?sign=SECRET"))))
	info, err := os.Stat(failed)
	if err != nil || got.code != exitFailed || info.Mode().Perm() != 0o600 {
		t.Errorf("exit code %d, file %v (%v), want mode 0600", got.code, info, err)
	}
}

// Interrupted while its --failed file is its input, a backfill leaves the file alone: it names snapshots that were not tried.
func TestInterruptKeepsFailedInput(t *testing.T) {
	origin := newOrigin(t)
	var lines strings.Builder
	for _, id := range []string{"1", "2", "3"} {
		lines.WriteString(origin.event("task", id, 10, "/missing/"+id+".jpg") + "\n")
	}
	failed := writeFile(t, lines.String())
	var once sync.Once
	asked, release := make(chan struct{}), make(chan struct{})
	origin.setGate(func(string) { once.Do(func() { close(asked) }); <-release })
	c := command(t, nil, "backfill", "--allow-private-sources", "--concurrency", "1", "--to", t.TempDir(), "--failed", failed, failed)
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	c.Stderr = stderr
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	<-asked
	_ = c.Process.Signal(syscall.SIGINT)
	for { // until it has said that it noticed
		text, err := os.ReadFile(stderr.Name())
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(text), "interrupted") {
			break
		}
	}
	close(release)
	_ = c.Wait()
	if got := c.ProcessState.ExitCode(); got != exitInterrupted {
		t.Errorf("exit code %d, want %d", got, exitInterrupted)
	}
	if got, err := os.ReadFile(failed); err != nil || string(got) != lines.String() {
		t.Errorf("the input became (%v):\n%s", err, got)
	}
}
