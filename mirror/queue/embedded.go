package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/gofrs/flock"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// Embedded is a NATS server in this process, which opens no port. Every message that it acknowledges is synced to the disk.
type Embedded struct {
	dir    string
	log    *slog.Logger
	lock   *flock.Flock
	cancel context.CancelFunc
	ended  chan struct{}

	mu      sync.Mutex
	server  *server.Server
	failure error // of its storage; nil while it works
}

// ErrInUse says that another process has the directory.
var ErrInUse = errors.New("another process uses it")

// MinFree is the free space in bytes below which nothing more is accepted, so that what is queued can still be worked off: that
// needs space too, down to the reserve.
const (
	MinFree = 32 << 20
	reserve = 8 << 20
)

// OpenEmbedded starts the server on a directory, which is made if need be. Only one process can have it.
func OpenEmbedded(dir string, log *slog.Logger) (*Embedded, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the data directory: %w", err)
	}
	e := &Embedded{dir: dir, log: log, lock: flock.New(filepath.Join(dir, "lock")), ended: make(chan struct{})}
	locked, err := e.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("locking the data directory: %w", err)
	}
	if !locked {
		return nil, fmt.Errorf("opening the data directory %s: %w", dir, ErrInUse)
	}
	if err := e.start(); err != nil {
		_ = e.lock.Close()
		return nil, err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	go e.supervise(ctx)
	return e, nil
}

// Close stops the server in good order.
func (e *Embedded) Close() error {
	e.cancel()
	<-e.ended
	e.stop()
	return e.lock.Close()
}

// startTimeout is for a queue of millions after a crash.
const startTimeout = 5 * time.Minute

func (e *Embedded) start() error {
	s, err := server.NewServer(&server.Options{
		ServerName: "snapshot-mirror", DontListen: true, NoSigs: true, DisableJetStreamBanner: true,
		JetStream: true, StoreDir: e.dir, SyncAlways: true,
		// Otherwise a part of what is free at the start, which may be next to nothing, is the limit ever after.
		JetStreamMaxStore: 1 << 50, JetStreamMaxMemory: 256 << 20,
	})
	if err != nil {
		return fmt.Errorf("starting the queue: %w", err)
	}
	s.SetLoggerV2(natsLog{e}, false, false, false)
	s.Start()
	if !s.ReadyForConnections(startTimeout) || !s.JetStreamEnabled() {
		s.Shutdown()
		return fmt.Errorf("starting the queue: its storage in %s can't be used", e.dir)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.server, e.failure = s, nil
	return nil
}

func (e *Embedded) stop() {
	e.mu.Lock()
	s := e.server
	e.server = nil
	e.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// supervise starts the server anew when its storage has failed: it stays failed until then, even when the disk has room again.
func (e *Embedded) supervise(ctx context.Context) {
	defer close(e.ended)
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Second):
		}
		e.mu.Lock()
		failure := e.failure
		if s := e.server; failure == nil && s != nil && !s.JetStreamEnabled() {
			failure = errors.New("the server has disabled its storage")
		}
		e.failure = failure
		e.mu.Unlock()
		if failure == nil || e.space(MinFree) != nil {
			continue
		}
		e.log.Warn("starting the queue anew", "err", failure)
		e.stop()
		if err := e.start(); err != nil {
			e.mu.Lock()
			e.failure = err
			e.mu.Unlock()
			continue
		}
		e.log.Info("the queue works again")
	}
}

// InProcessConn implements nats.InProcessConnProvider: the client finds the new server when the old one is gone.
func (e *Embedded) InProcessConn() (net.Conn, error) {
	e.mu.Lock()
	s := e.server
	e.mu.Unlock()
	if s == nil {
		return nil, errors.New("the queue is being started")
	}
	return s.InProcessConn()
}

func (e *Embedded) connect(log *slog.Logger, reconnected func()) (*nats.Conn, error) {
	return nats.Connect("", append(clientOptions(log, reconnected), nats.InProcessServer(e), nats.ReconnectWait(200*time.Millisecond))...)
}

func (*Embedded) replicated() bool { return false }

func (e *Embedded) writable(free uint64) error {
	e.mu.Lock()
	failure := e.failure
	e.mu.Unlock()
	if failure != nil {
		return failure
	}
	return e.space(free)
}

func (e *Embedded) space(want uint64) error {
	free, err := freeBytes(e.dir)
	if err != nil {
		return fmt.Errorf("looking at the data directory: %w", err)
	}
	if free < want {
		return fmt.Errorf("the disk of the data directory is full: %d MiB are free, %d are needed", free>>20, want>>20)
	}
	return nil
}

func (e *Embedded) broken(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.failure == nil {
		e.failure = err
	}
}

// natsLog passes on what the server says that matters to an operator.
type natsLog struct{ e *Embedded }

// writeError is how the server says that a stream's storage has failed for good. Whoever publishes to it then gets no answer.
const writeError = "Critical write error"

func (n natsLog) Errorf(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if strings.Contains(text, writeError) {
		n.e.broken(errors.New(text))
	}
	n.e.log.Warn("nats", "message", text)
}

func (n natsLog) Fatalf(format string, args ...any) {
	n.e.log.Error("nats", "message", fmt.Sprintf(format, args...))
}
func (n natsLog) Noticef(format string, args ...any) { n.debug(format, args...) }
func (n natsLog) Warnf(format string, args ...any)   { n.debug(format, args...) }
func (n natsLog) Debugf(string, ...any)              {}
func (n natsLog) Tracef(string, ...any)              {}

func (n natsLog) debug(format string, args ...any) {
	n.e.log.Debug("nats", "message", fmt.Sprintf(format, args...))
}
