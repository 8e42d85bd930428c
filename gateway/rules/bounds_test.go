package rules_test

import (
	"errors"
	"fmt"
	"math"
	"runtime"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// TestNoAllocationsPerNode: once the program has seen what the nodes look like, a
// request costs no allocation, whatever its size.
func TestNoAllocationsPerNode(t *testing.T) {
	m, all := workload()
	p := rules.Compile(m, slices.Values(all))
	for what, name := range map[string]func(i, p int) string{
		"the same names":               usual,
		"other names with every node":  func(i, p int) string { return fmt.Sprintf("property%d-%d", i, p) },
		"one other name of every node": func(i, p int) string { return usual(i, p) + fmt.Sprint(i*(p/9)) },
	} {
		t.Run(what, func(t *testing.T) {
			req, err := element.ParseRequest(workloadBody(20_000, name), element.Options{})
			if err != nil {
				t.Fatal(err)
			}
			defer req.Release()
			var out rules.Result
			p.Decide(req, &out)
			if out.Nodes.Count() == 0 || out.Nodes.Whole() {
				t.Fatal("the workload shows nothing, or everything")
			}
			// The pool may lose what it holds, at a collection or (with -race) at any time,
			// and all is folded anew: the best of some runs is one where it did not.
			best := math.Inf(1)
			for range 10 {
				best = min(best, testing.AllocsPerRun(1, func() { p.Decide(req, &out) }))
			}
			if best > 20_000/100 {
				t.Errorf("%v allocations for 20,000 nodes", best)
			}
		})
	}
}

// TestOtherNamesWithEveryNode: whoever sends other names with every node makes
// the program hold no more than its bound.
func TestOtherNamesWithEveryNode(t *testing.T) {
	m, all := workload()
	p := rules.Compile(m, slices.Values(all))
	ref := newReference(m, all)
	var out rules.Result
	var before, after runtime.MemStats
	for round := range 3 {
		body := workloadBody(30_000, func(i, k int) string {
			if k < 5 {
				return usual(i, k)
			}
			return fmt.Sprintf("property%d-%d-%d", i, k, round)
		})
		req, err := element.ParseRequest(body, element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p.Decide(req, &out)
		for i := 0; i < req.Nodes.Len(); i += 1_000 {
			seen, kept, _ := ref.node(decode[refNode](req.Nodes.Raw(i)))
			if seen != out.Nodes.Visible(i) || seen && compareForm(req.Nodes, i, out.Nodes.Form(i), kept) != "" {
				t.Fatalf("node %d is judged otherwise", i)
			}
		}
		req.Release()
		out = rules.Result{}
		runtime.GC()
		if round == 0 {
			runtime.ReadMemStats(&before)
		}
	}
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 16<<20 {
		t.Errorf("%d bytes more are held", grown)
	}
	runtime.KeepAlive(p)
}

// TestStreamsThatDifferTooMuch are refused, not judged otherwise.
func TestStreamsThatDifferTooMuch(t *testing.T) {
	m, all := workload()
	for i := range all {
		all[i].Conditions = nil
	}
	p := rules.Compile(m, slices.Values(all))
	elements := element.NewStream(element.TypeNodes, element.Options{})
	s := p.Stream(element.TypeNodes, elements, false)
	defer s.Close()
	long := strings.Repeat("n", 8<<10)
	for chunk := range 3_000 {
		node := fmt.Sprintf(`{"elementId":"%d","labels":["Label001"],"properties":{"%s%d":1}}`, chunk, long, chunk)
		c, err := elements.Add(element.Nodes, uint64(chunk), []byte(node), []uint32{0}, []uint32{uint32(len(node))})
		if err != nil {
			t.Fatal(err)
		}
		_, err = s.Add(c)
		c.Release()
		if err != nil {
			if f := (*fault.Error)(nil); !errors.As(err, &f) || f.Kind != fault.TooLarge {
				t.Fatal(err)
			}
			return
		}
	}
	t.Error("24 MB of names were kept")
}

// TestRulesWithManyEntities: a rule is taken in once for each entity that it
// lists. If each were looked for among all of them, this takes longer than any
// test may.
func TestRulesWithManyEntities(t *testing.T) {
	const rulesOfAll = 40
	m := &rule.Model{}
	one := rule.Rule{Active: true}
	for e := range rule.ID(rule.MaxIDs) {
		m.Entities = append(m.Entities, rule.Entity{ID: e, Title: fmt.Sprint("L", e)})
		one.Entities = append(one.Entities, rule.EntityGrant{ID: e})
	}
	p := rules.Compile(m, func(yield func(rule.Rule) bool) {
		for k := range int64(rulesOfAll) {
			if one.ID = k + 1; !yield(one) {
				return
			}
		}
	})
	if p.Rules() != rulesOfAll {
		t.Errorf("the program was made of %d rules", p.Rules())
	}
}
