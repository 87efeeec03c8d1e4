package mirror

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what a Worker counts. No label holds a FileID or URL: their number would be without bound.
type metrics struct {
	snapshots *prometheus.CounterVec
	bytes     prometheus.Counter
	fetch     prometheus.Histogram
	put       prometheus.Histogram
}

// newMetrics registers them; a nil registerer keeps them to the Worker.
func newMetrics(r prometheus.Registerer) *metrics {
	buckets := []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30, 60}
	m := &metrics{
		snapshots: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "snapshot_mirror_snapshots_total", Help: "Snapshots that were tried, by outcome and, where it failed, reason."}, []string{"outcome", "reason"}),
		bytes: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "snapshot_mirror_stored_bytes_total", Help: "Bytes of pictures stored."}),
		fetch: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "snapshot_mirror_fetch_duration_seconds", Help: "Time to fetch and prove a picture, with its retries, whether it worked or not.", Buckets: buckets}),
		put: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "snapshot_mirror_put_duration_seconds", Help: "Time to store a picture, with retries, whether it worked or not.", Buckets: buckets}),
	}
	// They are there from the start, so that a rate over the first failure is one.
	for _, outcome := range []Outcome{Mirrored, Skipped} {
		m.snapshots.WithLabelValues(string(outcome), "")
	}
	for _, reason := range Reasons {
		m.snapshots.WithLabelValues(string(Failed), string(reason.Reason))
	}
	if r != nil {
		r.MustRegister(m.snapshots, m.bytes, m.fetch, m.put)
	}
	return m
}

func (m *metrics) result(r Result) {
	m.snapshots.WithLabelValues(string(r.Outcome), string(r.Reason)).Inc()
	m.bytes.Add(float64(r.Bytes))
}

func since(h prometheus.Histogram, begin time.Time) { h.Observe(time.Since(begin).Seconds()) }
