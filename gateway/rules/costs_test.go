package rules_test

import (
	"fmt"
	"testing"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// TestManyValuesOfWideEntities: rules with many values on an entity with many
// properties take room for what they say. A set of properties for each value
// would take a gigabyte.
func TestManyValuesOfWideEntities(t *testing.T) {
	const wide, count, each = 10_000, 500, 1_000
	m := &rule.Model{Entities: []rule.Entity{{ID: 1, Title: "A"}}}
	for p := range rule.ID(wide) {
		m.Entities[0].Properties = append(m.Entities[0].Properties, rule.Property{ID: p, Title: fmt.Sprint("p", p)})
	}
	p := rules.Compile(m, func(yield func(rule.Rule) bool) {
		for k := range count {
			r := rule.Rule{ID: int64(k + 1), Active: true, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{rule.ID(k * 13), 9_000 + rule.ID(k)}}}}
			for v := range each { // half of the values are another rule's too
				r.Conditions = append(r.Conditions, rule.Condition{Value: fmt.Sprint("v", k*each/2+v)})
			}
			if !yield(r) {
				return
			}
		}
	})
	if p.Size() > 200*count*each {
		t.Errorf("%d bytes for %d values", p.Size(), count*each)
	}
	req, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[
		{"elementId":"1","labels":["A"],"properties":{"p0":"v750","p13":1,"p9001":2,"p0x":3,"p9000":4}},
		{"elementId":"2","labels":["A"],"properties":{"p0":"v0","p13":1}}]}`), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer req.Release()
	var out rules.Result
	p.Decide(req, &out)
	f := out.Nodes.Form(0)
	if f == nil || !f.Keeps(0) || !f.Keeps(1) || !f.Keeps(2) || f.Keeps(3) || !f.Keeps(4) {
		t.Errorf("a value that two rules ask for gives %+v", f)
	}
	if f = out.Nodes.Form(1); f == nil || !f.Keeps(0) || f.Keeps(1) {
		t.Errorf("a value that one rule asks for gives %+v", f)
	}
}

// TestManyConditionsOfManyEntities: a condition is looked at for the entity it
// concerns. For each of those that a rule lists, this takes longer than any test
// may.
func TestManyConditionsOfManyEntities(t *testing.T) {
	const entities, count = 20_000, 40
	m := &rule.Model{}
	one := rule.Rule{Active: true}
	for e := range rule.ID(entities) {
		m.Entities = append(m.Entities, rule.Entity{ID: e, Title: fmt.Sprint("L", e), Properties: []rule.Property{{ID: e, Title: "p"}}})
		one.Entities = append(one.Entities, rule.EntityGrant{ID: e})
	}
	for p := range rule.ID(rule.MaxConditions) {
		one.Conditions = append(one.Conditions, rule.Condition{Property: p, Value: "x"})
	}
	p := rules.Compile(m, func(yield func(rule.Rule) bool) {
		for k := range int64(count) {
			if one.ID = k + 1; !yield(one) {
				return
			}
		}
	})
	if p.Rules() != count {
		t.Errorf("the program was made of %d rules", p.Rules())
	}
}

// TestRelationshipsWithoutLabels: those of one type are found by the labels of
// their ends. Looking through all that rules list takes longer than any test may.
func TestRelationshipsWithoutLabels(t *testing.T) {
	const labels, nodes, count = 200, 2_000, 40_000
	m := &rule.Model{}
	one := rule.Rule{ID: 1, Active: true}
	for i := range labels {
		m.Entities = append(m.Entities, rule.Entity{ID: rule.ID(i), Title: fmt.Sprint("L", i)})
		one.Entities = append(one.Entities, rule.EntityGrant{ID: rule.ID(i)})
		for k := range labels / 2 {
			id := rule.ID(i*labels + k)
			m.Relationships = append(m.Relationships, rule.Relationship{ID: id, From: fmt.Sprint("L", i), To: fmt.Sprint("L", (i+k)%labels), Alias: "T"})
			one.Relationships = append(one.Relationships, id)
		}
	}
	p := rules.Compile(m, func(yield func(rule.Rule) bool) { yield(one) })
	body := []byte(`{"parameters":{"type":"graph"},"data":{"nodes":[`)
	for i := range nodes {
		body = fmt.Appendf(body, `{"elementId":"n%d","labels":["L%d"],"properties":{}},`, i, i%labels)
	}
	body = append(body[:len(body)-1], `],"relationships":[`...)
	want := 0
	for i := range count {
		from, to := i%nodes, (i*7+i/nodes)%nodes
		if (to-from+10*labels*labels)%labels < labels/2 {
			want++
		}
		body = fmt.Appendf(body, `{"elementId":"r%d","type":"T","startNodeElementId":"n%d","endNodeElementId":"n%d","properties":{}},`, i, from, to)
	}
	body = append(body[:len(body)-1], "]}}"...)
	req, err := element.ParseRequest(body, element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer req.Release()
	var out rules.Result
	p.Decide(req, &out)
	if got := out.Relationships.Count(); got != want {
		t.Errorf("%d of %d relationships are visible, not %d", got, count, want)
	}
}
