package worker

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/muster-fleet/muster/workers/element"
)

// metrics are the worker's own numbers, in a registry of their own. Labels never
// hold users, ids or values.
type metrics struct {
	registry *prometheus.Registry
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	elements *prometheus.CounterVec
	inflight prometheus.Gauge
	enrolled prometheus.Gauge
}

func newMetrics(uuid, version string) *metrics {
	m := &metrics{
		registry: prometheus.NewRegistry(),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worker_requests_total", Help: "Filter requests by transport and outcome: ok, or the error's code.",
		}, []string{"transport", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "worker_request_seconds", Help: "Time from a filter request's header to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.001, 2, 16),
		}, []string{"transport"}),
		elements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "worker_elements_total", Help: "Elements judged by kind and verdict: whole, edited or hidden.",
		}, []string{"kind", "verdict"}),
		inflight: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "worker_inflight", Help: "Filter requests in work.",
		}),
		enrolled: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "worker_enrolled", Help: "1 once the gateway has taken this worker into its registry.",
		}),
	}
	build := prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "worker_info", Help: "The worker's identity; always 1.",
	}, []string{"uuid", "version"})
	build.WithLabelValues(uuid, version).Set(1)
	m.registry.MustRegister(m.requests, m.seconds, m.elements, m.inflight, m.enrolled, build,
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return m
}

func (m *metrics) request(transport, code string, took time.Duration) {
	m.requests.WithLabelValues(transport, code).Inc()
	m.seconds.WithLabelValues(transport).Observe(took.Seconds())
}

func (m *metrics) count(kind element.Kind, verdicts []Verdict) {
	var whole, edited int
	for i := range verdicts {
		switch {
		case verdicts[i].Whole():
			whole++
		case verdicts[i].Visible():
			edited++
		}
	}
	key := kind.Key()
	m.elements.WithLabelValues(key, "whole").Add(float64(whole))
	m.elements.WithLabelValues(key, "edited").Add(float64(edited))
	m.elements.WithLabelValues(key, "hidden").Add(float64(len(verdicts) - whole - edited))
}
