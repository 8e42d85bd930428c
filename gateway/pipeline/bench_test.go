package pipeline_test

import (
	"context"
	"fmt"
	"io"
	"testing"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// benchBody is n nodes of ten properties.
func benchBody(n int) []byte {
	b := []byte(`{"parameters":{"type":"nodes"},"data":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"elementId":"4:1d78d5ba-072c-4cfa-96c7-dda7da1c5620:%d","labels":["Label%02d"],"properties":{`, i, i*7%20)
		for p := range 10 {
			if p > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `"property%d":"value%d"`, p, (i+p)%5)
		}
		b = append(b, "}}"...)
	}
	return append(b, "]}"...)
}

// benchRules show four properties of each of twenty labels, and four more where
// a condition holds; two labels are not shown.
func benchRules() (*rule.Model, *rule.Set) {
	m := &rule.Model{}
	var all []rule.Rule
	for l := range 20 {
		e := rule.Entity{ID: rule.ID(l + 1), Title: fmt.Sprintf("Label%02d", l)}
		for p := range 10 {
			e.Properties = append(e.Properties, rule.Property{ID: rule.ID(l*10 + p + 1), Title: fmt.Sprint("property", p)})
		}
		m.Entities = append(m.Entities, e)
		for k := range 2 {
			g := rule.EntityGrant{ID: e.ID}
			for p := range 4 {
				g.Properties = append(g.Properties, e.Properties[k*4+p].ID)
			}
			r := rule.Rule{ID: int64(len(all) + 1), Name: fmt.Sprint(len(all)), Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{g}}
			if k == 1 {
				r.Conditions = []rule.Condition{{Property: e.Properties[l%10].ID, Value: "value1"}}
			}
			if l < 18 {
				all = append(all, r)
			}
		}
	}
	return m, rule.SetOf(all...)
}

// showAll is a fleet of one worker that shows everything it gets.
type showAll struct{ pipeline.Asker }

func (showAll) Ask(_ context.Context, c *fanout.Call) ([]fanout.Outcome, error) {
	if len(c.Workers) == 0 {
		return nil, nil
	}
	return []fanout.Outcome{{Worker: c.Workers[0], Nodes: verdict.NewWhole(c.Request.Nodes.Len())}}, nil
}

// BenchmarkLine is what a request costs from its body to its answer, the workers'
// own time left out, with rules and without. The difference is what rules cost.
func BenchmarkLine(b *testing.B) {
	const n = 10_000
	body := benchBody(n)
	model, set := benchRules()
	as := authn.Caller{Principal: faulttest.Alice, Token: "alice-token"}
	for _, x := range []struct {
		name    string
		rules   *rules.Engine
		workers []*registry.Worker
	}{
		{"off", nil, nil},
		{"rules", rules.New(rules.Config{}), nil},
		{"worker", nil, []*registry.Worker{faulttest.Worker(1, "http://127.0.0.1:1/")}},
		{"rules and worker", rules.New(rules.Config{}), []*registry.Worker{faulttest.Worker(1, "http://127.0.0.1:1/")}},
	} {
		b.Run(x.name, func(b *testing.B) {
			snapshot := faulttest.Snapshot(x.workers...).WithRules(model, set)
			p, err := pipeline.New(pipeline.Config{}, pipeline.Deps{Snapshots: func() *registry.Snapshot { return snapshot }, Fleet: showAll{}, Rules: x.rules})
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				req, err := element.ParseRequest(body, element.Options{})
				if err != nil {
					b.Fatal(err)
				}
				d, err := p.Decide(b.Context(), pipeline.Input{Caller: as, Request: req})
				if err != nil {
					b.Fatal(err)
				}
				if _, err := d.Answer(verdict.AnswerOptions{}).WriteTo(io.Discard); err != nil {
					b.Fatal(err)
				}
				d.Release()
				req.Release()
			}
			b.ReportMetric(float64(cpu()-start)/float64(b.N)/n, "cpu-ns/node")
		})
	}
}
