// Package queuetest starts real NATS servers for tests.
package queuetest

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/snapshot-mirror/snapshot-mirror/store/storetest"
)

// Server is a NATS server with JetStream, a process of its own on loopback.
type Server struct {
	URL string

	config  string // the file's name
	process *exec.Cmd
	ended   chan struct{}
}

// Cluster is servers that know each other.
type Cluster []*Server

// URL is all addresses, with commas between.
func (c Cluster) URL() string {
	urls := make([]string, len(c))
	for i, s := range c {
		urls[i] = s.URL
	}
	return strings.Join(urls, ",")
}

// StartNATS starts a single server, which syncs every message, with further lines of configuration, if any. It ends with the test.
func StartNATS(t testing.TB, config ...string) *Server {
	t.Helper()
	s := newServer(t, "single", storetest.FreeAddress(t), config...)
	s.Start(t)
	return s
}

// StartCluster starts n servers, and waits until a stream with as many replicas can be made.
func StartCluster(t testing.TB, n int) Cluster {
	t.Helper()
	routes := make([]string, n)
	for i := range routes {
		routes[i] = storetest.FreeAddress(t)
	}
	c := make(Cluster, n)
	for i := range c {
		c[i] = newServer(t, serverName(i), storetest.FreeAddress(t),
			fmt.Sprintf("cluster { name: test, listen: %q, routes: [%s] }", routes[i], `"nats://`+strings.Join(routes, `","nats://`)+`"`))
		c[i].Start(t)
	}
	js := c.jetStream(t)
	begin := time.Now()
	for {
		_, err := js.AddStream(&nats.StreamConfig{Name: "PROBE", Subjects: []string{"probe"}, Replicas: n})
		if err == nil {
			break
		}
		if time.Since(begin) > time.Minute {
			t.Fatalf("the cluster does not come up: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	if err := js.DeleteStream("PROBE"); err != nil {
		t.Fatal(err)
	}
	return c
}

func (c Cluster) jetStream(t testing.TB) nats.JetStreamContext {
	t.Helper()
	conn, err := nats.Connect(c.URL(), nats.MaxReconnects(-1))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(conn.Close)
	js, err := conn.JetStream()
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// Leader is the server that leads a stream.
func (c Cluster) Leader(t testing.TB, stream string) *Server {
	t.Helper()
	info, err := c.jetStream(t).StreamInfo(stream)
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range c {
		if info.Cluster != nil && info.Cluster.Leader == serverName(i) {
			return s
		}
	}
	t.Fatalf("nobody leads %s", stream)
	return nil
}

func serverName(i int) string { return fmt.Sprintf("n%d", i) }

func newServer(t testing.TB, name, address string, config ...string) *Server {
	t.Helper()
	folder := t.TempDir()
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	lines := append([]string{
		"server_name: " + name, fmt.Sprintf("host: %q", host), "port: " + port,
		fmt.Sprintf("jetstream { store_dir: %q, sync_interval: always }", filepath.Join(folder, "data")),
	}, config...)
	s := &Server{URL: "nats://" + address, config: filepath.Join(folder, "nats.conf")}
	if err := os.WriteFile(s.config, []byte(strings.Join(lines, "\n")+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Kill)
	return s
}

// Start starts the server (again), on the same folder and port.
func (s *Server) Start(t testing.TB) {
	t.Helper()
	output := &bytes.Buffer{}
	s.process = exec.Command(storetest.Program(t, "nats-server"), "-c", s.config)
	s.process.Stdout, s.process.Stderr = output, output
	s.process.SysProcAttr = storetest.DieWithParent()
	if err := s.process.Start(); err != nil {
		t.Fatal(err)
	}
	s.ended = make(chan struct{})
	go func(process *exec.Cmd, ended chan struct{}) { _ = process.Wait(); close(ended) }(s.process, s.ended)
	address := strings.TrimPrefix(s.URL, "nats://")
	for begin := time.Now(); ; time.Sleep(20 * time.Millisecond) {
		if conn, err := net.Dial("tcp", address); err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-s.ended:
			t.Fatalf("the NATS server ended:\n%s", output)
		default:
		}
		if time.Since(begin) > 20*time.Second {
			t.Fatal("the NATS server does not come up")
		}
	}
}

// Reconfigure replaces a text in the configuration, for the next Start.
func (s *Server) Reconfigure(t testing.TB, from, to string) {
	t.Helper()
	text, err := os.ReadFile(s.config)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(s.config, bytes.ReplaceAll(text, []byte(from), []byte(to)), 0o644); err != nil {
		t.Fatal(err)
	}
}

// Kill is kill -9.
func (s *Server) Kill() {
	if s.process != nil && s.process.Process != nil {
		_ = s.process.Process.Kill()
		<-s.ended
	}
}
