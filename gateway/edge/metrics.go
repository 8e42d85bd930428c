package edge

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Metrics are the edge's own measurements. The names are stable; see
// docs/reference/metrics.md.
type Metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	elements *prometheus.CounterVec
}

// NewMetrics makes the metrics and registers them. admission, when not nil,
// feeds muster_shed_total.
func NewMetrics(reg prometheus.Registerer, admission *Admission) *Metrics {
	m := &Metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_requests_total", Help: "Requests answered, by endpoint and HTTP status (gRPC: the status that the code maps to).",
		}, []string{"endpoint", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "muster_request_seconds", Help: "Time from the request's head to the end of its answer.",
			Buckets: prometheus.ExponentialBuckets(0.0005, 2, 16),
		}, []string{"endpoint"}),
		elements: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_elements_total", Help: "Elements decided, by kind and verdict.",
		}, []string{"kind", "verdict"}),
	}
	reg.MustRegister(m.requests, m.seconds, m.elements)
	if admission != nil {
		reg.MustRegister(prometheus.NewCounterFunc(prometheus.CounterOpts{
			Name: "muster_shed_total", Help: "Requests refused at admission.",
		}, func() float64 { return float64(admission.Shed()) }))
	}
	return m
}

// endpointMetrics are the metrics of one endpoint with their labels resolved.
type endpointMetrics struct {
	m       *Metrics
	name    string
	ok      prometheus.Counter
	seconds prometheus.Observer
}

func (m *Metrics) endpoint(name string) *endpointMetrics {
	return &endpointMetrics{
		m: m, name: name,
		ok:      m.requests.WithLabelValues(name, "200"),
		seconds: m.seconds.WithLabelValues(name),
	}
}

func (e *endpointMetrics) done(status int, start time.Time) {
	if status == 200 {
		e.ok.Inc()
	} else {
		e.m.requests.WithLabelValues(e.name, strconv.Itoa(status)).Inc()
	}
	e.seconds.Observe(time.Since(start).Seconds())
}

// elementMetrics counts the elements of one kind.
type elementMetrics struct {
	visible, hidden, stripped, masked prometheus.Counter
}

func (m *Metrics) kind(kind string) *elementMetrics {
	return &elementMetrics{
		visible:  m.elements.WithLabelValues(kind, "visible"),
		hidden:   m.elements.WithLabelValues(kind, "hidden"),
		stripped: m.elements.WithLabelValues(kind, "stripped"),
		masked:   m.elements.WithLabelValues(kind, "masked"),
	}
}
