package fanout_test

import (
	"bytes"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// counter returns a metric's value over all series that have one label of this
// value; with an empty label, over all.
func counter(t testing.TB, reg *prometheus.Registry, name, label string) (sum float64) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != name {
			continue
		}
		for _, m := range f.GetMetric() {
			if label == "" || hasLabel(m, label) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue() + float64(m.GetHistogram().GetSampleCount())
			}
		}
	}
	return sum
}

func hasLabel(m *dto.Metric, value string) bool {
	for _, l := range m.GetLabel() {
		if l.GetValue() == value {
			return true
		}
	}
	return false
}

func showAll(c *workerv1.ElementChunk) *workerv1.FilterResponse {
	n := len(c.GetStarts())
	bits := bytes.Repeat([]byte{0xff}, (n+7)/8)
	if n%8 != 0 {
		bits[len(bits)-1] = 1<<(n%8) - 1
	}
	return &workerv1.FilterResponse{Chunk: &workerv1.VerdictChunk{Base: c.GetBase(), Count: uint64(n), Visible: bits}}
}
