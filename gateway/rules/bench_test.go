package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// workload is 1,000 rules of one principal over 200 labels with ten properties
// each: a rule shows one label with four properties, and every second rule has a
// condition.
func workload() (*rule.Model, []rule.Rule) {
	rnd := rand.New(rand.NewPCG(1, 1))
	m := &rule.Model{}
	for l := range 200 {
		e := rule.Entity{ID: rule.ID(l + 1), Title: fmt.Sprintf("Label%03d", l)}
		for p := range 10 {
			e.Properties = append(e.Properties, rule.Property{ID: rule.ID(l*10 + p + 1), Title: fmt.Sprintf("property%d", p)})
		}
		m.Entities = append(m.Entities, e)
	}
	all := make([]rule.Rule, 1_000)
	for i := range all {
		l := i % 200
		g := rule.EntityGrant{ID: rule.ID(l + 1)}
		for _, p := range rnd.Perm(10)[:4] {
			g.Properties = append(g.Properties, rule.ID(l*10+p+1))
		}
		all[i] = rule.Rule{ID: int64(i + 1), Name: fmt.Sprint("rule", i), Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{g}}
		if i%2 == 1 {
			all[i].Conditions = []rule.Condition{{Property: rule.ID(l*10 + rnd.IntN(10) + 1), Value: fmt.Sprint("value", rnd.IntN(5))}}
		}
	}
	return m, all
}

// workloadBody is n nodes with one or two labels and ten properties.
func workloadBody(n int, name func(i, p int) string) []byte {
	rnd := rand.New(rand.NewPCG(2, 2))
	b := []byte(`{"parameters":{"type":"nodes"},"data":[`)
	for i := range n {
		if i > 0 {
			b = append(b, ',')
		}
		b = fmt.Appendf(b, `{"elementId":"4:1d78d5ba:%d","labels":["Label%03d"`, i, rnd.IntN(200))
		if rnd.IntN(2) == 0 {
			b = fmt.Appendf(b, `,"Label%03d"`, rnd.IntN(200))
		}
		b = append(b, `],"properties":{`...)
		for p := range 10 {
			if p > 0 {
				b = append(b, ',')
			}
			b = fmt.Appendf(b, `"%s":"value%d"`, name(i, p), rnd.IntN(5))
		}
		b = append(b, "}}"...)
	}
	return append(b, "]}"...)
}

func usual(_, p int) string { return fmt.Sprint("property", p) }

func BenchmarkDecide(b *testing.B) {
	m, all := workload()
	p := rules.Compile(m, slices.Values(all))
	for name, body := range map[string][]byte{
		"usual":         workloadBody(100_000, usual),
		"usual-10000":   workloadBody(10_000, usual),
		"usual-1000":    workloadBody(1_000, usual),
		"another names": workloadBody(100_000, func(i, p int) string { return fmt.Sprintf("property%d-%d", i, p) }),
		"optional": workloadBody(100_000, func(i, p int) string {
			if i*2654435761>>p&3 == 0 {
				return fmt.Sprint("other", p)
			}
			return usual(i, p)
		}),
	} {
		b.Run(name, func(b *testing.B) {
			req, err := element.ParseRequest(body, element.Options{})
			if err != nil {
				b.Fatal(err)
			}
			defer req.Release()
			var out rules.Result
			p.Decide(req, &out)
			b.ReportAllocs()
			start := cpu()
			for b.Loop() {
				p.Decide(req, &out)
			}
			reportCPU(b, start, req.Nodes.Len())
		})
	}
}

func BenchmarkCompile(b *testing.B) {
	m, all := workload()
	b.ReportAllocs()
	start := cpu()
	for b.Loop() {
		rules.Compile(m, slices.Values(all))
	}
	b.ReportMetric(float64(cpu()-start)/float64(b.N)/1e6, "cpu-ms/op")
}
