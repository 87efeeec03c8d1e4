package queue

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Collector gives the queue's state to Prometheus, asked anew at each scrape.
func (q *Queue) Collector() prometheus.Collector { return collector{q} }

type collector struct{ q *Queue }

var (
	descQueue    = prometheus.NewDesc("snapshot_mirror_queue_snapshots", "Snapshots in the queue: ready to be taken, delayed (waiting for another try, or in flight in other processes) or dead (given up).", []string{"state"}, nil)
	descEvents   = prometheus.NewDesc("snapshot_mirror_queue_events", "Events in the queue that are not split into snapshots yet.", nil, nil)
	descOldest   = prometheus.NewDesc("snapshot_mirror_queue_oldest_age_seconds", "Age of what has been queued longest, 0 when nothing is.", nil, nil)
	descBytes    = prometheus.NewDesc("snapshot_mirror_queue_bytes", "Size of the queue on disk, dead letters included.", nil, nil)
	descInFlight = prometheus.NewDesc("snapshot_mirror_in_flight", "Snapshots being worked on in this process.", nil, nil)
	descUp       = prometheus.NewDesc("snapshot_mirror_queue_up", "Whether the queue answers: 1 or 0. Without it, the other figures of the queue are missing.", nil, nil)
	descStore    = prometheus.NewDesc("snapshot_mirror_store_up", "Whether the destination took the last pictures that it was given: 1 or 0.", nil, nil)
)

func (collector) Describe(out chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{descQueue, descEvents, descOldest, descBytes, descInFlight, descUp, descStore} {
		out <- d
	}
}

// scrapeTimeout keeps a scrape of a queue that is away below Prometheus' own ten seconds.
const scrapeTimeout = 3 * time.Second

func (c collector) Collect(out chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		out <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	gauge(descStore, boolean(c.q.StoreWorks()))
	ctx, cancel := context.WithTimeout(context.Background(), scrapeTimeout)
	defer cancel()
	s, err := c.q.State(ctx)
	gauge(descUp, boolean(err == nil))
	if err != nil {
		gauge(descInFlight, float64(c.q.InFlight()))
		return
	}
	gauge(descInFlight, float64(s.InFlight))
	gauge(descQueue, float64(s.Ready), "ready")
	gauge(descQueue, float64(s.Delayed), "delayed")
	gauge(descQueue, float64(s.Dead), "dead")
	gauge(descEvents, float64(s.Events))
	gauge(descBytes, float64(s.Bytes))
	age := 0.0
	if !s.Oldest.IsZero() {
		age = max(time.Since(s.Oldest).Seconds(), 0)
	}
	gauge(descOldest, age)
}

func boolean(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
