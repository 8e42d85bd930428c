package rules_test

import (
	"slices"
	"testing"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// TestAgainstTheReference compares the engine with the reference on requests
// drawn at random: 100,000 of them, or 10,000 with -short.
func TestAgainstTheReference(t *testing.T) {
	sets := 10_000
	if testing.Short() {
		sets = 1_000
	}
	var out rules.Result // used again and again, as requests do
	decided := [2]int{}
	for seed := range uint64(sets) {
		g := newGen(seed)
		m := g.model()
		all := g.rules(m)
		p := rules.Compile(m, slices.Values(all))
		ref := newReference(m, all)
		for id := range rule.ID(4) {
			if p.Function(id) != ref.function(id) {
				t.Fatalf("seed %d: function %d", seed, id)
			}
		}
		for range 10 { // the program keeps what it has folded
			text, _, _ := g.body(pick(g, []string{"nodes", "relationships", "graph", "graph"}))
			req, err := element.ParseRequest([]byte(text), element.Options{})
			if err != nil {
				t.Fatal(err, text)
			}
			p.Decide(req, &out)
			if what := compare(ref, req, &out); what != "" {
				t.Fatalf("seed %d: %s\n%s\nmodel %+v\nrules %+v", seed, what, text, m, all)
			}
			decided[0] += out.Nodes.Count()
			decided[1] += out.Relationships.Count()
			req.Release()
		}
	}
	if decided[0] < sets || decided[1] < sets/2 {
		t.Errorf("only %v elements were visible: the generator does not hit", decided)
	}
}

// compare returns what differs; empty when nothing does.
func compare(ref *reference, req *element.Request, out *rules.Result) string {
	visible := map[string]refNode{}
	if req.Nodes != nil {
		for i := range req.Nodes.Len() {
			n := decode[refNode](req.Nodes.Raw(i))
			seen, kept, _ := ref.node(n)
			if seen != out.Nodes.Visible(i) {
				return "visible: " + string(req.Nodes.Raw(i))
			}
			if !seen {
				if out.Nodes.Form(i) != nil {
					return "a hidden node has a form: " + string(req.Nodes.Raw(i))
				}
				continue
			}
			visible[n.ID] = n
			if what := compareForm(req.Nodes, i, out.Nodes.Form(i), kept); what != "" {
				return what + ": " + string(req.Nodes.Raw(i))
			}
		}
	}
	if req.Relationships == nil {
		return ""
	}
	for i := range req.Relationships.Len() {
		r := decode[refRelationship](req.Relationships.Raw(i))
		var want bool
		if req.Type == element.TypeGraph {
			want = ref.between(r, visible)
		} else {
			want = ref.alone(r)
		}
		if want != out.Relationships.Visible(i) || out.Relationships.Form(i) != nil {
			return "relationship: " + string(req.Relationships.Raw(i))
		}
	}
	return ""
}

func compareForm(b *element.Batch, i int, f *element.Form, kept map[string]bool) string {
	var stripped []string
	j := 0
	for name := range b.Properties(i) {
		text := string(element.AppendText(nil, name))
		if !kept[text] {
			stripped = append(stripped, text)
		}
		if (f == nil || f.Keeps(j)) != kept[text] {
			return "property " + text
		}
		j++
	}
	if f == nil {
		return ""
	}
	if len(stripped) == 0 {
		return "a form that takes nothing away"
	}
	slices.Sort(stripped)
	if names, ok := f.Stripped(); ok && !slices.Equal(names, stripped) {
		return "names of what was taken away"
	}
	return ""
}
