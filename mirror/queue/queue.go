// Package queue is the durable queue of snapshots between their announcement and their object, on NATS JetStream: in this
// process ([Embedded]) or in a cluster, with the same client code.
//
//	Add -> EVENTS --split--> the snapshots --Run--> mirrored: gone
//	                              ^  |
//	                  retry later |  +--> waiting (why, since when) --given up--> DEAD
//
// There are four streams. EVENTS holds what was announced together as one message, because that is one sync of the disk; behind
// it, each becomes one message a snapshot, not too far ahead of the work. A snapshot that fails stays where it is and is
// delivered again later; what is known of its failures lies in WAITING. Every message has a subject made of its contents, and a
// stream takes one message a subject: what is queued already is not queued twice.
//
// Any number of processes may share one cluster's streams. They divide the work, the retries and the dead letters among
// themselves, without a leader.
package queue

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/snapshot-mirror/snapshot-mirror/mirror"
)

// Options are what a Queue needs to know.
type Options struct {
	// Name begins the names of streams and subjects, so that several queues can share a cluster. Default DefaultName.
	Name string
	// Replicas of each stream in a cluster; 0 is 3 in a cluster and 1 elsewhere. Streams that exist keep theirs.
	Replicas int
	// RetryMin is the wait after a snapshot's first failure; it doubles up to RetryMax. Defaults 10 s and 1 h.
	RetryMin, RetryMax time.Duration
	// GiveUpAfter is how long after its first failure a snapshot that fails again becomes a dead letter. Default 24 h.
	GiveUpAfter time.Duration
	Log         *slog.Logger
}

// Defaults that the settings share.
const (
	DefaultName        = "SNAPSHOTS"
	DefaultRetryMin    = 10 * time.Second
	DefaultRetryMax    = time.Hour
	DefaultGiveUpAfter = 24 * time.Hour
)

// Server is where the streams live: [Embedded] or [External].
type Server interface {
	// connect gives a connection that mends itself. Each time that it has, it calls reconnected.
	connect(_ *slog.Logger, reconnected func()) (*nats.Conn, error)
	// writable says why nothing can be written now, or nil; that many bytes must be free. It costs no more than a look at the disk.
	writable(free uint64) error
	// replicated says whether a message can be a duplicate of one that is not stored yet, and maybe never will be.
	replicated() bool
	// broken is told of an error of the streams' storage, which the server does not get over by itself.
	broken(error)
}

// Queue is the client of the streams. It is safe for concurrent use.
type Queue struct {
	options Options
	server  Server
	conn    *nats.Conn
	js      jetstream.JetStream
	log     *slog.Logger

	events, snapshots, waiting, dead jetstream.Stream
	splitters, workers               jetstream.Consumer

	gate     *mirror.Gate
	backlog  backlog
	inFlight atomic.Int64
	health   health
	repairs  repairs
	opened   atomic.Bool
}

const (
	// ackWait is how long a snapshot of a process that died stays with it. Whoever works says so every beat.
	ackWait = 30 * time.Second
	beat    = 10 * time.Second
	// waitingAge is when the record of a failure is nobody's: the longest delay is 24 h, and each failure writes it anew.
	waitingAge = 48 * time.Hour
	// callTimeout bounds one request to the server.
	callTimeout = 5 * time.Second
)

// Open connects to the server and makes the streams where they are not there yet.
func Open(ctx context.Context, s Server, o Options) (*Queue, error) {
	if o.Name == "" {
		o.Name = DefaultName
	}
	for _, d := range []struct {
		value *time.Duration
		def   time.Duration
	}{{&o.RetryMin, DefaultRetryMin}, {&o.RetryMax, DefaultRetryMax}, {&o.GiveUpAfter, DefaultGiveUpAfter}} {
		if *d.value == 0 {
			*d.value = d.def
		}
	}
	o.Log = o.log()
	q := &Queue{options: o, server: s, log: o.Log, gate: mirror.NewGate(o.Log)}
	conn, err := s.connect(o.Log, func() { go q.reviveRestarted() })
	if err != nil {
		return nil, fmt.Errorf("connecting to NATS: %w", err)
	}
	js, err := jetstream.New(conn, jetstream.WithPublishAsyncTimeout(callTimeout))
	if err != nil {
		conn.Close()
		return nil, err
	}
	q.conn, q.js = conn, js
	if q.options.Replicas == 0 {
		q.options.Replicas = 1
		if conn.ConnectedClusterName() != "" {
			q.options.Replicas = 3
		}
	}
	if err := q.makeStreams(ctx); err != nil {
		conn.Close()
		return nil, err
	}
	if err := q.revive(ctx); err != nil {
		conn.Close()
		return nil, fmt.Errorf("looking through the queue: %w", err)
	}
	q.opened.Store(true)
	return q, nil
}

func (o Options) log() *slog.Logger {
	if o.Log == nil {
		return slog.New(slog.DiscardHandler)
	}
	return o.Log
}

// Close ends the connection. An [Embedded] server is closed on its own, after its queues.
func (q *Queue) Close() { q.conn.Close() }

func (q *Queue) subject(kind, id string) string { return q.options.Name + "." + kind + "." + id }

// The kinds of subjects.
const (
	kindEvent    = "event"
	kindSnapshot = "snapshot"
	kindWaiting  = "waiting"
	kindDead     = "dead"
)

func (q *Queue) makeStreams(ctx context.Context) error {
	for _, s := range []struct {
		stream *jetstream.Stream
		suffix string
		kind   string
		queue  bool
		maxAge time.Duration
		full   jetstream.DiscardPolicy
		about  string
	}{
		{&q.events, "_EVENTS", kindEvent, true, 0, jetstream.DiscardNew, "snapshots as they were announced together"},
		{&q.snapshots, "", kindSnapshot, true, 0, jetstream.DiscardNew, "snapshots to be mirrored"},
		{&q.waiting, "_WAITING", kindWaiting, false, waitingAge, jetstream.DiscardOld, "why snapshots that failed wait for another try"},
		{&q.dead, "_DEAD", kindDead, false, 0, jetstream.DiscardNew, "snapshots that were given up"},
	} {
		// No AllowDirect: a replica that lags would not know what is there.
		config := jetstream.StreamConfig{
			Name: q.options.Name + s.suffix, Description: "snapshot-mirror: " + s.about, Subjects: []string{q.subject(s.kind, "*")},
			Storage: jetstream.FileStorage, Replicas: q.options.Replicas, MaxMsgsPerSubject: 1, MaxAge: s.maxAge, Discard: s.full,
		}
		if s.queue {
			config.Retention, config.DiscardNewPerSubject = jetstream.WorkQueuePolicy, true
		}
		var err error
		if *s.stream, err = q.makeStream(ctx, config); err != nil {
			return fmt.Errorf("making the stream %s: %w", config.Name, err)
		}
	}
	var err error
	q.splitters, q.workers, err = q.makeConsumers(ctx)
	return err
}

// makeStream takes a stream that is there as its operator wants it (replicas, limits, placement), if it keeps our promises.
func (q *Queue) makeStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	stream, err := q.js.Stream(ctx, config.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		stream, err = q.js.CreateStream(ctx, config)
		if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) { // by another replica of ours, just now
			stream, err = q.js.Stream(ctx, config.Name)
		}
	}
	if err != nil {
		return nil, err
	}
	have := stream.CachedInfo().Config
	if have.Retention != config.Retention || have.Discard != config.Discard || have.DiscardNewPerSubject != config.DiscardNewPerSubject ||
		have.MaxMsgsPerSubject != config.MaxMsgsPerSubject || have.MaxAge != config.MaxAge || have.Storage != config.Storage || have.NoAck || len(have.Subjects) != 1 || have.Subjects[0] != config.Subjects[0] {
		return nil, errors.New("it is there with other settings, so it is not snapshot-mirror's; choose another name")
	}
	return stream, nil
}
