package rules_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// TestLongArraysInConditions: long arrays are judged as the reference does, those
// of few and of many values, spelled in any way.
func TestLongArraysInConditions(t *testing.T) {
	m := &rule.Model{Entities: []rule.Entity{{ID: 1, Title: "P", Properties: []rule.Property{{ID: 1, Title: "a"}, {ID: 2, Title: "b"}, {ID: 3, Title: "c"}}}}}
	for seed := range uint64(300) {
		g := newGen(seed)
		var all []rule.Rule
		for i := range 1 + g.IntN(6) {
			r := rule.Rule{ID: int64(i + 1), Active: true, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{rule.ID(1 + g.IntN(3))}}}}
			for property := range rule.ID(3) {
				for range g.IntN(12) {
					r.Conditions = append(r.Conditions, rule.Condition{Property: property + 1, Value: pick(g, []string{"null", "true", "7", "{}", `a"b`, fmt.Sprint(g.IntN(400))})})
				}
			}
			all = append(all, r)
		}
		array := func() string {
			items := make([]string, 1+g.IntN(120))
			for k := range items {
				items[k] = pick(g, []string{"null", "true", `"a\"b"`, `"\u0037"`, "{}", `{"x":"7"}`, "[7.0,[3]]", fmt.Sprint(g.IntN(400)), fmt.Sprintf("%q", fmt.Sprint(g.IntN(400)))})
			}
			return "[" + strings.Join(items, ", ") + "]"
		}
		var list []string
		for i := range 8 {
			list = append(list, fmt.Sprintf(`{"elementId":"%d","labels":["P"],"properties":{"a":%s,"b":%s,"c":%s}}`, i, array(), array(), array()))
		}
		req, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[`+strings.Join(list, ",")+`]}`), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		p, ref := rules.Compile(m, slices.Values(all)), newReference(m, all)
		var out rules.Result
		p.Decide(req, &out)
		if what := compare(ref, req, &out); what != "" {
			t.Fatalf("seed %d: %s", seed, what)
		}
		s := p.Speaker(req)
		for i := range list {
			_, _, by := ref.node(decode[refNode](req.Nodes.Raw(i)))
			if got := s.Rules(element.Nodes, i); !slices.Equal(got, by) {
				t.Fatalf("seed %d: node %d: rules %v speak for it, not %v", seed, i, got, by)
			}
		}
		req.Release()
	}
}

// TestArraysDoNotMultiply: two long arrays in one node cost their sum. If they
// cost their product, as they would where each member of the one has the other
// read again, this takes longer than any test may.
func TestArraysDoNotMultiply(t *testing.T) {
	m := &rule.Model{Entities: []rule.Entity{{ID: 1, Title: "P", Properties: []rule.Property{{ID: 1, Title: "a"}, {ID: 2, Title: "b"}}}}}
	r := rule.Rule{ID: 1, Active: true, Entities: []rule.EntityGrant{{ID: 1}}}
	const values = 500
	for k := range values {
		r.Conditions = append(r.Conditions, rule.Condition{Property: 1, Value: fmt.Sprint("a", k)}, rule.Condition{Property: 2, Value: fmt.Sprint("b", k)})
	}
	p := rules.Compile(m, slices.Values([]rule.Rule{r}))
	const members = 1_000_000
	long := func(prefix string) string {
		return strings.Repeat(fmt.Sprintf(`"%s1","%s2","%s3","%s4",`, prefix, prefix, prefix, prefix), members/4) + "0"
	}
	body := fmt.Sprintf(`{"parameters":{"type":"nodes"},"data":[{"elementId":"1","labels":["P"],"properties":{"a":[%s],"b":[%s]}}]}`, long("a"), long("x"))
	req, err := element.ParseRequest([]byte(body), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer req.Release()
	var out rules.Result
	p.Decide(req, &out)
	if out.Nodes.Count() != 0 {
		t.Error("a node is shown that does not meet the second condition")
	}
	if by := p.Speaker(req).Rules(element.Nodes, 0); len(by) != 0 {
		t.Errorf("rules %v speak for a node that does not meet their second condition", by)
	}
}
