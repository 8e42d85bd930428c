package probe

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// maxLabel bounds label values that a worker or an operator chose, in characters.
const maxLabel = 200

var (
	standingDesc = prometheus.NewDesc("muster_worker_standing",
		"1 for the state that a worker is in, as this replica sees it.", []string{"worker", "state"}, nil)
	infoDesc = prometheus.NewDesc("muster_worker_info",
		"1 for every registered worker; joins its name, type and version to its uuid.",
		[]string{"worker", "name", "type", "version"}, nil)
	pausedDesc = prometheus.NewDesc("muster_paused_security_workers",
		"ExternalGraphSecurity workers that are registered but paused, so that nobody asks them.", nil, nil)
)

// collector reads the fleet when it is scraped, so no series outlives its worker
// or its state.
type collector struct{ p *Prober }

// Describe is prometheus.Collector's.
func (c collector) Describe(ch chan<- *prometheus.Desc) {
	ch <- standingDesc
	ch <- infoDesc
	ch <- pausedDesc
}

// Collect is prometheus.Collector's.
func (c collector) Collect(ch chan<- prometheus.Metric) {
	snap, now, paused := c.p.reg.Snapshot(), time.Now(), 0
	for _, w := range snap.Workers {
		ch <- prometheus.MustNewConstMetric(standingDesc, prometheus.GaugeValue, 1, string(w.ID), string(c.p.State(w.ID)))
		ch <- prometheus.MustNewConstMetric(infoDesc, prometheus.GaugeValue, 1,
			string(w.ID), Printable(w.Name, maxLabel), Printable(w.Type, maxLabel), Printable(w.Version, maxLabel))
	}
	for _, w := range snap.GraphSecurity() {
		if !w.ActiveAt(now) {
			paused++
		}
	}
	ch <- prometheus.MustNewConstMetric(pausedDesc, prometheus.GaugeValue, float64(paused))
}
