package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/snapshot-mirror/snapshot-mirror/config"
	"github.com/snapshot-mirror/snapshot-mirror/mirror"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/admin"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
)

type serveCommand struct {
	config.Destination
	config.Source
	config.Choice
	config.Callback
	config.VOD
	config.Pull
	config.Queue
	config.Serve

	started func(callback, page string) // gets the addresses when everything is up; may be nil
}

// Validate is called when all settings are read.
func (c *serveCommand) Validate() error {
	if c.Callback.Off() && !c.Pull.Pull {
		return errors.New("--listen off without --pull: no event could come in")
	}
	return errors.Join(c.Source.Validate(), c.Callback.Validate(), c.Pull.Validate(), c.Queue.Validate(), c.Serve.Validate())
}

// Run serves until a signal, and then drains. The order: admin, so that somebody can look; the queue; intake. At the end the
// other way round.
func (c *serveCommand) Run(a *app) error {
	filter, err := newFilter(c.Choice)
	if err != nil {
		return err
	}
	registry := newRegistry()
	dest, closeDest, err := a.destinationFor(c.Destination, c.Concurrency, false)
	if err != nil {
		return err
	}
	defer func() { _ = closeDest() }()
	worker, err := a.newWorker(dest, c.Destination, c.Source, mirror.Options{Registerer: registry, Retried: true})
	if err != nil {
		return err
	}
	s := &serving{a: a, c: c, events: newEventCounter(registry), filter: filter}
	puller, err := s.newPuller()
	if err != nil {
		return err
	}
	adminServer, err := s.startAdmin(registry, dest)
	if err != nil {
		return err
	}
	defer adminServer.close()

	q, closeQueue, err := c.openQueue(a)
	if err != nil {
		return err
	}
	defer closeQueue()
	registry.MustRegister(q.Collector())
	s.queue.Store(q)
	callback, err := s.startCallback(q)
	if err != nil {
		return err
	}
	defer callback.close()
	s.accepting.Store(true)
	s.tellServing(q, callback, adminServer)
	if c.started != nil {
		c.started("http://"+callback.address+c.CallbackPath, "http://"+adminServer.address+"/")
	}
	pulled := s.startPuller(puller, q, registry)
	go s.checkDestination(dest, q)
	go s.tellProgress(q)

	return s.untilStopped(q, callback, pulled, worker)
}

// serving is one run of serve.
type serving struct {
	a         *app
	c         *serveCommand
	events    *eventCounter
	queue     atomic.Pointer[queue.Queue] // nil until it is open
	accepting atomic.Bool                 // the callback is up, and no signal has come
	counts    counts
	history   admin.History
	filter    mirror.Filter
}

// untilStopped works off the queue until a signal, stops intake, and finishes what is in flight within --drain.
func (s *serving) untilStopped(q *queue.Queue, callback *listener, pulled <-chan struct{}, worker *mirror.Worker) error {
	stop, halt := context.WithCancel(s.a.ctx)
	defer halt()
	work, interrupt := context.WithCancel(context.WithoutCancel(s.a.ctx))
	defer interrupt()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		q.Run(work, stop, s.c.Concurrency, s.counted(worker.Mirror))
	}()

	var failure error
	select {
	case <-s.a.ctx.Done():
	case failure = <-callback.ended:
		failure = fmt.Errorf("serving callbacks: %w", failure)
	}
	s.accepting.Store(false)
	s.a.log.Info("stopping: finishing what is in flight; another signal quits at once", "in_flight", q.InFlight(), "drain", s.c.Drain)
	drained := time.NewTimer(s.c.Drain)
	defer drained.Stop()
	callback.shutdown(min(s.c.Drain, 5*time.Second)) // no event is left without its answer
	select {
	case <-pulled:
	case <-drained.C: // what is not confirmed comes back
		drained.Reset(0)
	}
	halt()
	select {
	case <-worked:
	case <-drained.C:
		s.a.log.Warn("not finished within the drain time: what is left stays queued", "in_flight", q.InFlight())
		interrupt()
		<-worked
	}
	s.a.log.Info("stopped")
	return failure
}

// checkDestination tells early what is wrong with the destination, and looks again until it is mended, which shows in the
// metrics also when there is nothing to mirror. It stops nothing: snapshots wait in the queue.
func (s *serving) checkDestination(d destination, q *queue.Queue) {
	for told := false; ; told = true {
		err := d.Check(s.a.ctx)
		switch {
		case s.a.ctx.Err() != nil:
			return
		case err == nil && told:
			q.SetStoreWorks(true)
			return
		case err == nil:
			return
		case !told:
			s.a.log.Warn("the destination can't be used now: snapshots will wait in the queue", "err", err, "hint", hintOf(err))
			q.SetStoreWorks(false)
		}
		select {
		case <-time.After(checkAgain):
		case <-s.a.ctx.Done():
			return
		}
	}
}

// checkAgain is between two looks at a destination that could not be used at the start.
const checkAgain = 10 * time.Second

// ready says why an event can't be accepted durably now.
func (s *serving) ready(ctx context.Context) error {
	q := s.queue.Load()
	switch {
	case s.a.ctx.Err() != nil:
		return errors.New("stopping")
	case q == nil || !s.accepting.Load():
		return errors.New("starting")
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	return q.Ready(ctx)
}

func (s *serving) startAdmin(registry *prometheus.Registry, pictures admin.Pictures) (*listener, error) {
	fromAdmin := &intake.Callback{Path: admin.PathEvents, Queue: laterQueue{s}, MaxBody: 16 << 20, Log: s.a.log, Count: s.events.from("enqueue")}
	key, err := mirror.ParseKeyTemplate(s.c.KeyTemplate)
	if err != nil {
		return nil, err
	}
	if local, _ := config.Loopback(s.c.AdminListen); !local && s.c.AdminAuth.Reveal() == "" {
		s.a.log.Warn("anybody who can reach --admin-listen sees FileIds and pictures: --admin-auth asks for a password", "admin_listen", s.c.AdminListen)
	}
	handler := admin.Handler(admin.Options{
		Ready: s.ready, Metrics: registry, Events: fromAdmin, PProf: s.c.PProf, State: s.state, History: &s.history,
		Pictures: pictures, Key: key, MaxImageSize: int64(s.c.MaxImageSize), Auth: s.c.AdminAuth.Reveal(), Hosts: s.c.AdminHost,
		To: s.c.To.String(), Version: version(),
		Letters: func() admin.Letters {
			if q := s.queue.Load(); q != nil {
				return q
			}
			return nil
		},
	})
	return listen("--admin-listen", s.c.AdminListen, handler, 0)
}

// state tells the status page of the queue.
func (s *serving) state(ctx context.Context) (admin.State, error) {
	q := s.queue.Load()
	if q == nil {
		return admin.State{}, errors.New("it is being opened")
	}
	state, err := q.State(ctx)
	return admin.State{
		Events: state.Events, Ready: state.Ready, Delayed: state.Delayed, Dead: state.Dead, InFlight: state.InFlight,
		Oldest: state.Oldest, StoreWorks: q.StoreWorks(),
	}, err
}

// startCallback listens for events, unless it is off.
func (s *serving) startCallback(q *queue.Queue) (*listener, error) {
	if s.c.Callback.Off() {
		return &listener{address: "off", server: &http.Server{}}, nil
	}
	if local, _ := config.Loopback(s.c.Listen); !local && !s.c.Authenticated() {
		s.a.log.Warn("events are taken from anybody who can reach --listen", "listen", s.c.Listen)
	}
	return listen("--listen", s.c.Listen, &intake.Callback{
		Path: s.c.CallbackPath, Queue: q, MaxBody: int64(s.c.MaxEventSize), Log: s.a.log, Count: s.events.from("callback"),
		Filter: s.filter, LeftOut: s.events.leftOutFrom("callback"),
		Auth: intake.Auth{
			SignKeys: s.c.SignKey.Reveal(), User: s.c.CallbackUser, Password: s.c.CallbackPassword.Reveal(),
			PathSecret: s.c.CallbackSecret.Reveal(), Networks: s.c.AllowFrom,
		},
	}, 10*time.Second)
}

// laterQueue is the queue once it is open.
type laterQueue struct{ s *serving }

func (l laterQueue) Add(ctx context.Context, snapshots []mirror.Snapshot) error {
	if q := l.s.queue.Load(); q != nil && l.s.accepting.Load() {
		return q.Add(ctx, snapshots)
	}
	return errors.New("the queue is not open")
}

// openQueue opens the queue in this process or at --nats. The caller calls close.
func (c *serveCommand) openQueue(a *app) (_ *queue.Queue, close func(), _ error) {
	if c.Queue.NATS.NATS != "" {
		q, err := a.openExternalQueue(c.Queue.NATS, a.queueOptions(c.Queue))
		if err != nil {
			return nil, nil, err
		}
		return q, q.Close, nil
	}
	server, err := queue.OpenEmbedded(c.DataDir, a.log)
	if errors.Is(err, queue.ErrInUse) {
		return nil, nil, &exitError{exitCannotRun, err, "each serve needs a --data-dir of its own; several share one queue through --nats"}
	}
	if err != nil {
		return nil, nil, &exitError{exitCannotRun, err, "name a directory that this user can write to, on a disk with room, with --data-dir"}
	}
	q, err := queue.Open(a.ctx, server, a.queueOptions(c.Queue))
	if err != nil {
		_ = server.Close()
		return nil, nil, err
	}
	return q, func() {
		q.Close()
		_ = server.Close()
	}, nil
}

func (a *app) queueOptions(c config.Queue) queue.Options {
	return queue.Options{
		Name: c.QueueName, Replicas: c.NATSReplicas, RetryMin: c.RetryMin, RetryMax: c.RetryMax, GiveUpAfter: c.GiveUpAfter, Log: a.log,
	}
}

// openExternalQueue opens the queue at --nats.
func (a *app) openExternalQueue(c config.NATS, o queue.Options) (*queue.Queue, error) {
	server := queue.External{URL: c.NATS, Credentials: c.NATSCreds, CA: c.NATSCA, Cert: c.NATSCert, Key: c.NATSKey}
	q, err := queue.Open(a.ctx, server, o)
	if err != nil {
		return nil, &exitError{exitCannotRun, err, "is a NATS server with JetStream at --nats, and may these credentials use it?"}
	}
	return q, nil
}

// listener is an HTTP server on an address.
type listener struct {
	address string
	server  *http.Server
	ended   chan error // gets why the server ended, unless it was told to
}

// listen serves h. A time-out for the whole of a request or of an answer of 0 leaves both to the handler.
func listen(flag, address string, h http.Handler, timeout time.Duration) (*listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, &exitError{exitCannotRun, fmt.Errorf("listening on %s: %w", address, err), "does another serve run here? Else choose another address with " + flag}
	}
	s := &listener{address: l.Addr().String(), ended: make(chan error, 1), server: &http.Server{
		Handler: h, ReadHeaderTimeout: 5 * time.Second, ReadTimeout: timeout, WriteTimeout: timeout, IdleTimeout: 2 * time.Minute, MaxHeaderBytes: 32 << 10,
	}}
	go func() {
		if err := s.server.Serve(l); !errors.Is(err, http.ErrServerClosed) {
			s.ended <- err
		}
	}()
	return s, nil
}

// shutdown takes no more connections and lets requests end for a while.
func (l *listener) shutdown(within time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), within)
	defer cancel()
	if l.server.Shutdown(ctx) != nil {
		l.close()
	}
}

func (l *listener) close() { _ = l.server.Close() }

// eventCounter counts what came in.
type eventCounter struct{ events, leftOut *prometheus.CounterVec }

func newEventCounter(r prometheus.Registerer) *eventCounter {
	c := &eventCounter{
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapshot_mirror_events_total", Help: "Events, or requests that held none, by source (callback, pull, enqueue) and outcome."}, []string{"source", "outcome"}),
		leftOut: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapshot_mirror_left_out_total", Help: "Snapshots that were announced and not queued, as --include and --exclude say, by source (callback, pull)."}, []string{"source"}),
	}
	r.MustRegister(c.events, c.leftOut)
	return c
}

// from counts for a source. Every outcome shows from the start, as 0: a rate has nothing to go by else.
func (c *eventCounter) from(source string) func(intake.EventOutcome, int) {
	for _, o := range intake.EventOutcomes {
		c.events.WithLabelValues(source, string(o.Outcome))
	}
	return func(outcome intake.EventOutcome, n int) {
		c.events.WithLabelValues(source, string(outcome)).Add(float64(n))
	}
}

// leftOutFrom counts for a source what the filter does not take.
func (c *eventCounter) leftOutFrom(source string) func(int) {
	n := c.leftOut.WithLabelValues(source)
	return func(more int) { n.Add(float64(more)) }
}

// newRegistry has what every Go program tells, and the version.
func newRegistry() *prometheus.Registry {
	r := prometheus.NewRegistry()
	info := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "snapshot_mirror_build_info", Help: "Always 1; the version is a label."}, []string{"version"})
	info.WithLabelValues(version()).Set(1)
	r.MustRegister(info, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return r
}
