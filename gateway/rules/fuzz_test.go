package rules_test

import (
	"slices"
	"testing"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/workers/element"
)

// FuzzDecide compares the engine with the reference on any body, under rules
// drawn from a seed.
func FuzzDecide(f *testing.F) {
	for seed := range uint64(20) {
		g := newGen(seed)
		g.model()
		text, _, _ := g.body(pick(g, []string{"nodes", "relationships", "graph"}))
		f.Add(seed, []byte(text))
	}
	f.Fuzz(func(t *testing.T, seed uint64, body []byte) {
		req, err := element.ParseRequest(body, element.Options{})
		if err != nil {
			t.Skip()
		}
		defer req.Release()
		g := newGen(seed)
		m := g.model()
		all := g.rules(m)
		p := rules.Compile(m, slices.Values(all))
		var out rules.Result
		for range 2 { // the second time with what was kept
			p.Decide(req, &out)
			if what := compare(newReference(m, all), req, &out); what != "" {
				t.Fatalf("%s\nmodel %+v\nrules %+v", what, m, all)
			}
		}
	})
}
