package rules_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
)

// seen is what is left of a request, written down: for each visible element its
// kind, its number and the positions that are kept.
func seen(req *element.Request, out *rules.Result) map[string]bool {
	all := map[string]bool{}
	for _, k := range []element.Kind{element.Nodes, element.Relationships} {
		b, s := req.Batch(k), &out.Nodes
		if k == element.Relationships {
			s = &out.Relationships
		}
		if b == nil {
			continue
		}
		for i := range b.Len() {
			if !s.Visible(i) {
				continue
			}
			all[fmt.Sprint(k.Key(), i)] = true
			for j := range b.PropertyCount(i) {
				if f := s.Form(i); f == nil || f.Keeps(j) {
					all[fmt.Sprint(k.Key(), i, ".", j)] = true
				}
			}
		}
	}
	return all
}

func within(a, b map[string]bool) bool {
	for x := range a {
		if !b[x] {
			return false
		}
	}
	return true
}

// TestLaws: rules only narrow, a further rule never hides, an inactive one does
// nothing, and their order means nothing.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGen(rapid.Uint64().Draw(t, "seed"))
		m := g.model()
		all := g.rules(m)
		text, _, _ := g.body(pick(g, []string{"nodes", "relationships", "graph"}))
		req, err := element.ParseRequest([]byte(text), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		defer req.Release()
		decide := func(of []rule.Rule) map[string]bool {
			var out rules.Result
			rules.Compile(m, slices.Values(of)).Decide(req, &out)
			return seen(req, &out)
		}
		whole := decide(all)
		if len(decide(nil)) > 0 {
			t.Fatal("something is visible without rules")
		}
		fewer := slices.Clone(all)
		for len(fewer) > 0 {
			fewer = fewer[1:]
			less := decide(fewer)
			if !within(less, whole) {
				t.Fatalf("a rule more hides something\n%s\n%+v", text, fewer)
			}
			whole = less
		}
		whole = decide(all)
		off := slices.Clone(all)
		for i := range off {
			off[i].Active = false
		}
		if got := decide(append(off, all...)); !within(got, whole) || !within(whole, got) {
			t.Fatal("inactive rules do something")
		}
		shuffled := append(slices.Clone(all), all...) // twice is once
		rand.New(rand.NewPCG(1, rapid.Uint64().Draw(t, "order"))).Shuffle(len(shuffled), func(i, j int) {
			shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
		})
		if got := decide(shuffled); !within(got, whole) || !within(whole, got) {
			t.Fatal("the order of rules, or one that stands twice, changes something")
		}
	})
}

// TestStreamsDecideAlike: chunk by chunk the same is decided as at once, and the
// same rules are said to list relationships.
func TestStreamsDecideAlike(t *testing.T) {
	for seed := range uint64(3_000) {
		g := newGen(seed)
		m := g.model()
		p := rules.Compile(m, slices.Values(g.rules(m)))
		kind := pick(g, []string{"nodes", "relationships", "graph", "graph"})
		text, nodes, rels := g.body(kind)
		req, err := element.ParseRequest([]byte(text), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		out := rules.Result{Explain: true}
		p.Decide(req, &out)
		elements := element.NewStream(req.Type, element.Options{})
		s := p.Stream(req.Type, elements, true)
		for k, list := range map[element.Kind][]string{element.Nodes: nodes} {
			addAll(t, g, s, elements, k, list)
		}
		addAll(t, g, s, elements, element.Relationships, rels)
		for _, k := range []element.Kind{element.Nodes, element.Relationships} {
			want, got := &out.Nodes, s.Selection(k)
			if k == element.Relationships {
				want = &out.Relationships
			}
			if got.Len() != want.Len() {
				t.Fatalf("seed %d: %d %s, want %d", seed, got.Len(), k.Key(), want.Len())
			}
			for i := range want.Len() {
				if got.Visible(i) != want.Visible(i) || !slices.Equal(namesOf(req.Batch(k), i, got.Form(i)), namesOf(req.Batch(k), i, want.Form(i))) {
					t.Fatalf("seed %d: %s %d differs", seed, k.Key(), i)
				}
				if k == element.Relationships && s.Listed().Visible(i) != out.Listed.Visible(i) {
					t.Fatalf("seed %d: relationship %d is listed", seed, i)
				}
			}
		}
		s.Close()
		s.Close() // does nothing
		req.Release()
	}
}

func addAll(t *testing.T, g *gen, s *rules.Stream, elements *element.Stream, k element.Kind, list []string) {
	t.Helper()
	for base := 0; base < len(list); {
		n := 1 + g.IntN(len(list)-base)
		var data []byte
		var starts, ends []uint32
		for _, e := range list[base : base+n] {
			starts = append(starts, uint32(len(data)))
			data = append(data, e...)
			ends = append(ends, uint32(len(data)))
		}
		c, err := elements.Add(k, uint64(base), data, starts, ends)
		if err != nil {
			t.Fatal(err)
		}
		sel, err := s.Add(c)
		if err != nil || sel.Len() != c.Batch.Len() {
			t.Fatal(err)
		}
		c.Release()
		base += n
	}
}

// namesOf are the properties that a form takes away.
func namesOf(b *element.Batch, i int, f *element.Form) []string {
	if f == nil {
		return nil
	}
	if names, ok := f.Stripped(); ok {
		return names
	}
	var names []string
	j := 0
	for name := range b.Properties(i) {
		if !f.Keeps(j) {
			names = append(names, string(element.AppendText(nil, name)))
		}
		j++
	}
	slices.Sort(names)
	return names
}

// TestSpeakersAreTheRulesThatShow compares who is said to speak with the reference.
func TestSpeakersAreTheRulesThatShow(t *testing.T) {
	spoke := 0
	for seed := range uint64(3_000) {
		g := newGen(seed)
		m := g.model()
		all := g.rules(m)
		p, ref := rules.Compile(m, slices.Values(all)), newReference(m, all)
		text, _, _ := g.body(pick(g, []string{"nodes", "graph", "relationships"}))
		req, err := element.ParseRequest([]byte(text), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		s := p.Speaker(req)
		nodes := map[string]refNode{}
		for i := range size(req.Nodes) {
			n := decode[refNode](req.Nodes.Raw(i))
			nodes[n.ID] = n
			_, _, by := ref.node(n)
			if got := s.Rules(element.Nodes, i); !slices.Equal(got, by) {
				t.Fatalf("seed %d: %v speak for %s, want %v", seed, got, req.Nodes.Raw(i), by)
			}
			spoke += len(by)
		}
		for i := range size(req.Relationships) {
			r := decode[refRelationship](req.Relationships.Raw(i))
			by := ref.listing(r, nodes, req.Type == element.TypeGraph)
			if got := s.Rules(element.Relationships, i); !slices.Equal(got, by) {
				t.Fatalf("seed %d: %v list %s, want %v", seed, got, req.Relationships.Raw(i), by)
			}
			spoke += len(by)
		}
		req.Release()
	}
	if spoke < 3_000 {
		t.Errorf("only %d rules spoke", spoke)
	}
}

func size(b *element.Batch) int {
	if b == nil {
		return 0
	}
	return b.Len()
}

// listing is who lists a relationship, whatever becomes of its ends.
func (ref *reference) listing(r refRelationship, nodes map[string]refNode, graph bool) []int64 {
	from, to := []string{}, []string{}
	if r.StartLabel != nil {
		from = []string{*r.StartLabel}
	}
	if r.EndLabel != nil {
		to = []string{*r.EndLabel}
	}
	if r.StartLabel == nil || r.EndLabel == nil {
		start, ok := nodes[r.Start]
		end, both := nodes[r.End]
		if !graph || !ok || !both {
			return nil
		}
		if r.StartLabel == nil {
			from = start.Labels
		}
		if r.EndLabel == nil {
			to = end.Labels
		}
	}
	var by []int64
	for _, a := range from {
		for _, b := range to {
			by = append(by, ref.relationship(a, r.Type, b)...)
		}
	}
	slices.Sort(by)
	return slices.Compact(by)
}

// TestOddShapes: nodes that are too wide to be kept, too many labels, names that
// never come again: all are judged as the reference does.
func TestOddShapes(t *testing.T) {
	m := &rule.Model{}
	var all []rule.Rule
	for e := range 70 {
		x := rule.Entity{ID: rule.ID(e), Title: fmt.Sprint("L", e)}
		for p := range 100 {
			x.Properties = append(x.Properties, rule.Property{ID: rule.ID(e*1000 + p), Title: fmt.Sprint("p", p*(e+1))})
		}
		m.Entities = append(m.Entities, x)
		g := rule.EntityGrant{ID: x.ID}
		for p := 0; p < 100; p += 1 + e%5 {
			g.Properties = append(g.Properties, x.Properties[p].ID)
		}
		r := rule.Rule{ID: int64(e), Active: true, Entities: []rule.EntityGrant{g}}
		if e%2 == 0 {
			r.Conditions = []rule.Condition{{Property: x.Properties[e].ID, Value: "1"}, {Property: x.Properties[e+1].ID, Value: "0"}, {Property: x.Properties[e+1].ID, Value: "1"}}
		}
		all = append(all, r)
	}
	p, ref := rules.Compile(m, slices.Values(all)), newReference(m, all)
	for seed := range uint64(40) {
		g := newGen(seed)
		var list []string
		for i := range 20 {
			var labels, props []string
			for range g.IntN(80) {
				labels = append(labels, fmt.Sprintf(`"L%d"`, g.IntN(75)))
			}
			for _, k := range g.Perm(2000)[:g.IntN(900)] {
				props = append(props, fmt.Sprintf(`"p%d":%d`, k, g.IntN(3)))
			}
			list = append(list, fmt.Sprintf(`{"elementId":"%d","labels":[%s],"properties":{%s}}`, i, strings.Join(labels, ","), strings.Join(props, ",")))
		}
		req, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[`+strings.Join(list, ",")+`]}`), element.Options{})
		if err != nil {
			t.Fatal(err)
		}
		var out rules.Result
		p.Decide(req, &out)
		if what := compare(ref, req, &out); what != "" {
			t.Fatalf("seed %d: %s", seed, what[:200])
		}
		req.Release()
	}
}
