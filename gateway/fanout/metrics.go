package fanout

import (
	"errors"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
)

// reasons are all values of the label reason. Their series begin at 0 with the
// worker: one that begins at its first failure is no increase to Prometheus, and
// an alert on it misses just that.
var reasons = []string{
	"quarantined", "login_token_required", "identity", "circuit_open", "busy", "bad_url", "address_refused",
	"connect", "connection_lost", "timeout", "status", "framing", "unauthorized", "forbidden", "internal",

	verdict.ReasonNotJSON, verdict.ReasonWrongShape, verdict.ReasonWrongKey, verdict.ReasonTrailingBytes,
	verdict.ReasonTooLarge, verdict.ReasonEncoded, verdict.ReasonForeignID, verdict.ReasonRepeatedID,
	verdict.ReasonMissingMember, verdict.ReasonAddedMember, verdict.ReasonChangedLabels, verdict.ReasonChangedType,
	verdict.ReasonChangedEndpoints, verdict.ReasonAddedProperty, verdict.ReasonChangedValue, verdict.ReasonBadMask,
	verdict.ReasonBadReason, verdict.ReasonBadChunk, verdict.ReasonShortReply, verdict.ReasonLongReply,
}

// metrics are the worker metrics of the specification's section 6 that are
// counted here. The label worker is the uuid.
type metrics struct {
	seconds  *prometheus.HistogramVec
	failures *prometheus.CounterVec
	inflight *prometheus.GaugeVec
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "muster_worker_call_seconds",
			Help:    "Time of one call to a worker, from dialling to the last verdict, in seconds.",
			Buckets: []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"worker", "type", "transport"}),
		failures: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "muster_worker_failures_total",
			Help: "Calls to a worker that failed, by reason.",
		}, []string{"worker", "reason"}),
		inflight: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "muster_worker_inflight",
			Help: "Calls to a worker in flight.",
		}, []string{"worker"}),
	}
	err := errors.Join(reg.Register(m.seconds), reg.Register(m.failures), reg.Register(m.inflight))
	return m, err
}

// failuresOf returns the counters of a worker's failures, by reason. Whoever holds
// them may count after the worker is gone, and brings no series back.
func (m *metrics) failuresOf(id registry.WorkerID) map[string]prometheus.Counter {
	all := make(map[string]prometheus.Counter, len(reasons))
	for _, r := range reasons {
		all[r] = m.failures.WithLabelValues(string(id), r)
	}
	return all
}

// forget drops the series of a worker that is gone.
func (m *metrics) forget(l *leg) {
	labels := prometheus.Labels{"worker": string(l.id)}
	m.seconds.DeletePartialMatch(labels)
	m.failures.DeletePartialMatch(labels)
	m.inflight.DeletePartialMatch(labels)
}
