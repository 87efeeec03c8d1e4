package main

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/snapshot-mirror/snapshot-mirror/mirror/intake"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/queue"
	"github.com/snapshot-mirror/snapshot-mirror/mirror/vod"
)

// newPuller makes the puller of --pull, or none.
func (s *serving) newPuller() (*intake.Puller, error) {
	if !s.c.Pull.Pull {
		return nil, nil
	}
	api, err := s.a.newAPI(s.c.VOD, 0)
	if err != nil {
		return nil, err
	}
	return &intake.Puller{API: api, Filter: s.filter, Unhandled: intake.Unhandled(s.c.PullUnhandled), Log: s.a.log}, nil
}

// startPuller pulls until a signal. pulled is closed when everything that was pulled is settled.
func (s *serving) startPuller(p *intake.Puller, q *queue.Queue, registry prometheus.Registerer) (pulled chan struct{}) {
	pulled = make(chan struct{})
	if p == nil {
		close(pulled)
		return pulled
	}
	p.Queue = q
	count := newPullMetrics(registry, p.Works)
	p.Count, p.Ended, p.Failed = s.events.from("pull"), count.end, count.failure
	p.LeftOut = s.events.leftOutFrom("pull")
	go func() {
		defer close(pulled)
		p.Run(s.a.ctx, s.c.Pullers)
	}()
	return pulled
}

// pullMetrics count what becomes of pulled events.
type pullMetrics struct{ ends, failures *prometheus.CounterVec }

func newPullMetrics(r prometheus.Registerer, works func() bool) *pullMetrics {
	m := &pullMetrics{
		ends: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapshot_mirror_pulled_events_total", Help: "Events that were pulled, by what became of them in VOD's queue."}, []string{"end"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapshot_mirror_pull_failures_total", Help: "Calls of VOD's API that failed, by kind: throttled, unavailable, denied, refused or misunderstood."}, []string{"kind"}),
	}
	for _, end := range intake.PullEnds {
		m.ends.WithLabelValues(string(end.End))
	}
	for _, kind := range vod.APIErrorKinds {
		m.failures.WithLabelValues(string(kind))
	}
	up := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "snapshot_mirror_pull_up", Help: "Whether VOD answered the last pull: 1 or 0."}, func() float64 {
		if works() {
			return 1
		}
		return 0
	})
	r.MustRegister(m.ends, m.failures, up)
	return m
}

func (m *pullMetrics) end(e intake.PullEnd, n int)   { m.ends.WithLabelValues(string(e)).Add(float64(n)) }
func (m *pullMetrics) failure(kind vod.APIErrorKind) { m.failures.WithLabelValues(string(kind)).Inc() }
