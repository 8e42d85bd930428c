package transform

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/registry/run"
)

// metrics are what an Engine shows of itself.
type metrics struct {
	open     *prometheus.GaugeVec
	attempts *prometheus.CounterVec
	seconds  prometheus.Histogram
}

func newMetrics(r prometheus.Registerer) *metrics {
	m := &metrics{
		open: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "muster_rule_runs", Help: "Runs of rule transformations that have not ended, by state.",
		}, []string{"state"}),
		attempts: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_rule_attempts_total", Help: "Attempts of rule transformations that ended, as this replica saw it, by state.",
		}, []string{"state"}),
		seconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "muster_rule_attempt_seconds", Help: "How long attempts of rule transformations took on this replica.",
			Buckets: []float64{0.1, 0.3, 1, 3, 10, 30, 100, 300, 1000, 3000},
		}),
	}
	for _, s := range []run.State{run.Succeeded, run.Failed, run.Cancelled, run.Interrupted} {
		m.attempts.WithLabelValues(string(s))
	}
	if r != nil {
		r.MustRegister(m.open, m.attempts, m.seconds)
	}
	m.show(nil)
	return m
}

func (m *metrics) show(open []*run.Run) {
	n := map[run.State]int{run.Queued: 0, run.Running: 0}
	for _, r := range open {
		n[r.State]++
	}
	for state, count := range n {
		m.open.WithLabelValues(string(state)).Set(float64(count))
	}
}

// ended counts an attempt; took is 0 for one that another replica carried out.
func (m *metrics) ended(s run.State, took time.Duration) {
	m.attempts.WithLabelValues(string(s)).Inc()
	if took > 0 {
		m.seconds.Observe(took.Seconds())
	}
}
