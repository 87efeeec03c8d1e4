package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// sidecar is a running serve, which can be killed and started again.
type sidecar struct {
	t    testing.TB
	env  []string
	args []string

	mu              sync.Mutex
	cmd             *exec.Cmd
	exited          chan struct{}
	log             *logBuffer
	callback, admin string // URLs
}

// startServe starts serve with free ports and a data directory of its own, and waits until it is ready.
func startServe(t testing.TB, env []string, args ...string) *sidecar {
	t.Helper()
	s := &sidecar{t: t, env: env, args: append([]string{
		"serve", "--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0", "--log-format", "json", "--allow-private-sources",
		"--data-dir", filepath.Join(t.TempDir(), "data"),
	}, args...)}
	t.Cleanup(func() {
		if t.Failed() {
			_, metrics := s.get("/metrics")
			t.Logf("metrics:\n%s", metrics[strings.Index(metrics+"# HELP snapshot_mirror", "# HELP snapshot_mirror"):])
			t.Logf("the end of serve's log:\n%s", s.log.tail(4000))
		}
		s.kill()
	})
	s.start()
	return s
}

// start starts the process (again).
func (s *sidecar) start() {
	s.t.Helper()
	cmd := command(s.t, s.env, s.args...)
	log := &logBuffer{}
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	exited := make(chan struct{})
	go func() { _ = cmd.Wait(); close(exited) }()
	s.mu.Lock()
	s.cmd, s.exited, s.log = cmd, exited, log
	s.mu.Unlock()
	for begin := time.Now(); time.Since(begin) < time.Minute; time.Sleep(5 * time.Millisecond) {
		select {
		case <-exited:
			s.t.Fatalf("serve ended:\n%s", log.tail(4000))
		default:
		}
		if callback, admin, ok := log.addresses(); ok {
			s.mu.Lock()
			s.callback, s.admin = callback, admin
			s.mu.Unlock()
			return
		}
	}
	s.t.Fatalf("serve does not come up:\n%s", log.tail(4000))
}

// kill is kill -9.
func (s *sidecar) kill() {
	s.mu.Lock()
	cmd, exited := s.cmd, s.exited
	s.mu.Unlock()
	if cmd != nil {
		_ = cmd.Process.Kill()
		<-exited
	}
}

// terminate sends SIGTERM and gives the exit code and how long it took.
func (s *sidecar) terminate() (code int, took time.Duration) {
	begin := time.Now()
	_ = s.cmd.Process.Signal(syscall.SIGTERM)
	<-s.exited
	return s.cmd.ProcessState.ExitCode(), time.Since(begin)
}

// post sends an event and gives the status, 0 when there was no answer.
func (s *sidecar) post(event string) int {
	s.mu.Lock()
	url := s.callback
	s.mu.Unlock()
	resp, err := http.Post(url, "application/json", strings.NewReader(event))
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	return resp.StatusCode
}

func (s *sidecar) get(path string) (status int, body string) {
	s.mu.Lock()
	url := s.admin
	s.mu.Unlock()
	resp, err := http.Get(url + path)
	if err != nil {
		return 0, err.Error()
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

func (s *sidecar) ready() bool {
	status, _ := s.get("/readyz")
	return status == http.StatusOK
}

// metric gives a metric's value; name is as /metrics writes it, with its labels. -1 is none.
func (s *sidecar) metric(name string) float64 {
	_, text := s.get("/metrics")
	for line := range strings.Lines(text) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), name+" "); ok {
			f, err := strconv.ParseFloat(value, 64)
			if err != nil {
				s.t.Error(err)
			}
			return f
		}
	}
	return -1
}

const (
	metricReady   = `snapshot_mirror_queue_snapshots{state="ready"}`
	metricDelayed = `snapshot_mirror_queue_snapshots{state="delayed"}`
	metricDead    = `snapshot_mirror_queue_snapshots{state="dead"}`
)

// idle says whether nothing is queued or in flight.
func (s *sidecar) idle() bool {
	_, text := s.get("/metrics")
	for _, name := range []string{metricReady, metricDelayed, "snapshot_mirror_queue_events", "snapshot_mirror_in_flight"} {
		if !strings.Contains(text, "\n"+name+" 0\n") {
			return false
		}
	}
	return true
}

// run runs another command against the running serve.
func (s *sidecar) run(args ...string) outcome {
	return runCommand(s.t, command(s.t, append(s.env, "SNAPSHOT_MIRROR_ADMIN_URL="+s.admin), args...))
}

// waitFor waits until something is so.
func waitFor(t testing.TB, what string, within time.Duration, is func() bool) {
	t.Helper()
	for begin := time.Now(); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Since(begin) > within {
			t.Fatalf("not within %v: %s", within, what)
		}
	}
}

// logBuffer is what a process writes to standard error.
type logBuffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logBuffer) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *logBuffer) tail(n int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	text := l.text.String()
	return text[max(0, len(text)-n):]
}

func (l *logBuffer) contains(text string) bool { return strings.Contains(l.tail(1<<30), text) }

// addresses finds the line that serve writes when it is ready.
func (l *logBuffer) addresses() (callback, admin string, ok bool) {
	for line := range strings.Lines(l.tail(1 << 30)) {
		var v struct{ Msg, Callback, Admin string }
		if json.Unmarshal([]byte(line), &v) == nil && v.Msg == "serving" {
			return v.Callback, v.Admin, true
		}
	}
	return "", "", false
}

// manyPaths gives paths of pictures: /FILE/0.jpg, /FILE/1.jpg, ...
func manyPaths(file string, n int) []string {
	paths := make([]string, n)
	for i := range paths {
		paths[i] = fmt.Sprintf("/%s/%d.jpg", file, i)
	}
	return paths
}
