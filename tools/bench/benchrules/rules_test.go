package main

import (
	"encoding/json"
	"errors"
	"math/bits"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/registry/rule"
)

func TestTheWorkloadIsTheSameEachTime(t *testing.T) {
	if !reflect.DeepEqual(makeRules(ruleCount), makeRules(ruleCount)) || !reflect.DeepEqual(makeNodes(500, true), makeNodes(500, true)) {
		t.Error("two workloads differ")
	}
}

// byLabel sorts rules by the label that they are about.
func byLabel(rules []grant) map[string][]int {
	of := map[string][]int{}
	for i := range rules {
		of[rules[i].label] = append(of[rules[i].label], i)
	}
	return of
}

func TestTheWorkloadIsAsTheBarSays(t *testing.T) {
	grants := makeRules(ruleCount)
	conditions, labels := 0, map[string]int{}
	for i := range grants {
		g := &grants[i]
		labels[g.label]++
		if g.is != "" {
			conditions++
		}
		if bits.OnesCount16(uint16(g.props)) != listed {
			t.Errorf("rule %d lists %b", i, g.props)
		}
	}
	if len(labels) != labelCount || conditions != ruleCount/2 {
		t.Errorf("%d labels, %d conditions", len(labels), conditions)
	}
	for label, own := range byLabel(grants) {
		with := 0
		for _, i := range own {
			if grants[i].is != "" {
				with++
			}
		}
		if len(own) != ruleCount/labelCount || with == 0 || with == len(own) {
			t.Errorf("%s has %d rules, %d of them with a condition", label, len(own), with)
		}
	}
}

func TestNodes(t *testing.T) {
	for _, anyPair := range []bool{false, true} {
		pairs, two := map[string]bool{}, 0
		nodes := makeNodes(20_000, anyPair)
		for i := range nodes {
			if len(nodes[i].labels) == 2 {
				two++
				if nodes[i].labels[0] == nodes[i].labels[1] {
					t.Fatalf("node %d has one label twice", i)
				}
				pairs[strings.Join(nodes[i].labels, "+")] = true
			}
		}
		if two < 9_000 || two > 11_000 {
			t.Errorf("%d of 20000 nodes have two labels", two)
		}
		if few := len(pairs) <= labelCount*companions; few == anyPair {
			t.Errorf("any pair %v: %d pairs of labels", anyPair, len(pairs))
		}
	}
	var request struct {
		Data []struct {
			ElementID  string `json:"elementId"`
			Labels     []string
			Properties map[string]string
		}
	}
	nodes := makeNodes(3, true)
	if err := json.Unmarshal(requestBody(nodes), &request); err != nil {
		t.Fatal(err)
	}
	for i, n := range request.Data {
		if !slices.Equal(n.Labels, nodes[i].labels) || len(n.Properties) != propCount || n.Properties["p7"] != nodes[i].values[7] {
			t.Errorf("node %d is written %+v", i, n)
		}
	}
}

// The reference in small: what the words of the rules come to.
func TestReference(t *testing.T) {
	grants := []grant{
		{label: "L000", props: 0b0011},
		{label: "L000", props: 0b0100, when: 2, is: "v05"},
		{label: "L001", props: 0b1000},
	}
	n := node{labels: []string{"L000"}}
	n.values[2] = "v05"
	for _, c := range []struct {
		labels []string
		value  string
		want   decision
	}{
		{[]string{"L000"}, "v05", decision{true, 0b0111}},
		{[]string{"L000"}, "v06", decision{true, 0b0011}},
		{[]string{"L001"}, "v05", decision{true, 0b1000}},
		{[]string{"L001", "L000"}, "v05", decision{true, 0b1111}},
		{[]string{"L002"}, "v05", decision{}},
	} {
		n.labels, n.values[2] = c.labels, c.value
		if got := reference(grants, &n); got != c.want {
			t.Errorf("%v with %s: %+v, want %+v", c.labels, c.value, got, c.want)
		}
	}
}

// Every engine agrees with the reference on rules and nodes of any kind, also
// where a label has no rule at all.
func TestEnginesAgree(t *testing.T) {
	all := contenders(t.Context())
	rapid.Check(t, func(r *rapid.T) {
		grants := makeRules(400)[:rapid.IntRange(1, 400).Draw(r, "rules")]
		from := rapid.IntRange(0, 900).Draw(r, "from")
		nodes := makeNodes(1_000, rapid.Bool().Draw(r, "any pair"))[from : from+rapid.IntRange(1, 100).Draw(r, "nodes")]
		for _, c := range all {
			e, err := c.make(grants)
			if err == nil {
				err = check(e, grants, nodes)
			}
			if err != nil {
				r.Fatalf("%s: %v", c.name, err)
			}
		}
	})
}

// liar shows everything.
type liar struct{ err error }

func (l *liar) load([]node) error { return l.err }
func (l *liar) decide() error     { return nil }
func (l *liar) answers(out []decision) error {
	for i := range out {
		out[i] = decision{visible: true, props: 1<<propCount - 1}
	}
	return nil
}

func TestWhoAnswersWronglyDoesNotRace(t *testing.T) {
	broken := errors.New("broken")
	for name, e := range map[string]*liar{"node 0 is decided": {}, "broken": {broken}} {
		_, err := race([]contender{{name: "liar", nodes: 10, make: func([]grant) (engine, error) { return e, nil }}}, makeRules(10), 10, 1, time.Millisecond)
		if err == nil || !strings.Contains(err.Error(), "liar: ") || !strings.Contains(err.Error(), name) {
			t.Errorf("got %v", err)
		}
	}
}

func TestRace(t *testing.T) {
	all, err := race(contenders(t.Context()), makeRules(ruleCount), 2_000, 2, time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range all {
		if r.Rate <= 0 || r.perNode() <= 0 || r.Allocations < 0 {
			t.Errorf("%+v makes no sense", r)
		}
	}
	fastest := best(all, opa)
	for i := range all {
		if all[i].kind == opa && all[i].Rate > fastest.Rate {
			t.Errorf("%s is faster than the best", all[i].Name)
		}
	}
	if best(all, kind(99)) != nil {
		t.Error("the best of none")
	}
	out := tell(all, snapshotCosts{bytes: 7, compile: []float64{2e6}, oneOfMany: []float64{2_000}, oneOfFew: []float64{1_000}, together: []float64{500}})
	if len(out.Rows) != 1+len(all) || out.Values["compile"].Value != 2 || out.Values["grows"].Value != 2 || out.Values["proportion"].Value != 0.25 {
		t.Errorf("got %+v", out)
	}
	if got, want := out.Values["opa"].Value, best(all, ours).Rate/fastest.Rate; got != want {
		t.Errorf("%g times OPA, want %g", got, want)
	}
}

func TestStoredRules(t *testing.T) {
	grants := makeRules(ruleCount)
	held := make([]rule.Rule, len(grants))
	for i := range grants {
		held[i] = stored(&grants[i], int64(i+1), principal(0))
	}
	if bad := rule.CheckRules(held); len(bad) > 0 {
		t.Fatalf("the registry refuses them: %v", bad[0])
	}
	model := makeModel()
	if bad := model.Check(); len(bad) > 0 {
		t.Fatalf("the registry refuses the model: %v", bad[0])
	}
	for i := range held {
		if model.Orphans(&held[i]).Any() {
			t.Fatalf("rule %d is orphaned", i)
		}
	}
}

func TestSnapshotSmall(t *testing.T) {
	grants := makeRules(100)
	set := fill(grants, 1_050)
	mine := 0
	for range set.For(rule.SubjectsOf(principal(3), "", nil)) {
		mine++
	}
	if set.Len() != 1_050 || mine != 100 {
		t.Errorf("%d rules, %d of them of one principal", set.Len(), mine)
	}
	changed := spread(grants, 10_000)
	ids := map[int64]bool{}
	for i := range changed {
		ids[changed[i].ID] = true
	}
	if len(ids) != changesTimed {
		t.Errorf("%d rules change, want %d", len(ids), changesTimed)
	}
	was := stored(&grants[(changed[7].ID-1)%100], changed[7].ID, changed[7].Users[0])
	if reflect.DeepEqual(was, changed[7]) || was.Name != changed[7].Name {
		t.Error("a changed rule says what it said, or is another one")
	}
}
