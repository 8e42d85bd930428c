package pipeline_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/workers/element"
)

// graph is a generated batch.
type graph struct {
	nodes, rels []string // as written, repetitions included
	nodeIDs     []string
	relIDs      []string
	ends        [][2]string
}

func drawGraph(t *rapid.T) graph {
	var g graph
	n := rapid.IntRange(0, 40).Draw(t, "nodes")
	for i := range n {
		id := fmt.Sprintf("n%d", i)
		if i > 0 && rapid.IntRange(0, 9).Draw(t, "repeat") == 0 {
			id = g.nodeIDs[rapid.IntRange(0, i-1).Draw(t, "of")]
		}
		g.nodeIDs = append(g.nodeIDs, id)
		g.nodes = append(g.nodes, faulttest.Node(id))
	}
	for i := range rapid.IntRange(0, 40).Draw(t, "rels") {
		// Some ends are nodes of nobody.
		from, to := fmt.Sprintf("n%d", rapid.IntRange(0, n+2).Draw(t, "from")), fmt.Sprintf("n%d", rapid.IntRange(0, n+2).Draw(t, "to"))
		id := fmt.Sprintf("r%d", i)
		g.relIDs, g.ends = append(g.relIDs, id), append(g.ends, [2]string{from, to})
		g.rels = append(g.rels, faulttest.Relationship(id, from, to))
	}
	return g
}

func (g *graph) body() []byte {
	return []byte(`{"parameters":{"type":"graph"},"data":{"nodes":[` + strings.Join(g.nodes, " ,\n") +
		`],"relationships":[` + strings.Join(g.rels, ",") + `]}}`)
}

// model says what the laws want: what is visible, and what of it is stripped or
// masked.
func model(g *graph, minds []*mind) (nodes, rels []faulttest.Verdict) {
	visible := map[string]bool{}
	for _, id := range g.nodeIDs {
		v := meet(id, minds)
		nodes = append(nodes, v)
		visible[id] = !v.Hide
	}
	for i, id := range g.relIDs {
		v := meet(id, minds)
		if !visible[g.ends[i][0]] || !visible[g.ends[i][1]] {
			v = faulttest.Verdict{Hide: true}
		}
		delete(v.Mask, "name") // which a relationship has not
		v.Strip = slices.DeleteFunc(v.Strip, func(s string) bool { return s == "name" })
		rels = append(rels, v)
	}
	return nodes, rels
}

func meet(id string, minds []*mind) faulttest.Verdict {
	out := faulttest.Verdict{Mask: map[string]json.RawMessage{}}
	strip := map[string]bool{}
	for _, m := range minds {
		v := m.decide("", id)
		out.Hide = out.Hide || v.Hide
		for _, s := range v.Strip {
			strip[s] = true
		}
		for k, x := range v.Mask {
			if have, ok := out.Mask[k]; ok && string(have) != string(x) {
				strip[k] = true
			}
			out.Mask[k] = x
		}
	}
	for s := range strip {
		out.Strip = append(out.Strip, s)
		delete(out.Mask, s)
	}
	if out.Hide {
		return faulttest.Verdict{Hide: true}
	}
	return out
}

func check(t *rapid.T, what string, ids []string, ordinal func(int) int, got *verdict.Set, want []faulttest.Verdict) {
	for p, v := range want {
		i := ordinal(p)
		if got.Visible(i) == v.Hide {
			t.Fatalf("%s: %s is visible: %v", what, ids[p], got.Visible(i))
		}
		if v.Hide {
			continue
		}
		var strips []string
		for _, s := range got.StripsOf(i) {
			strips = append(strips, s.Name)
		}
		slices.Sort(v.Strip)
		masks := got.MasksOf(i)
		if !slices.Equal(strips, v.Strip) || len(masks) != len(v.Mask) {
			t.Fatalf("%s: %s has strips %v and %d masks; want %v and %v", what, ids[p], strips, len(masks), v.Strip, v.Mask)
		}
		for _, m := range masks {
			if string(m.Value) != string(v.Mask[m.Name]) {
				t.Fatalf("%s: %s.%s is masked as %s", what, ids[p], m.Name, m.Value)
			}
		}
	}
}

// checkExplained wants one explanation for each difference, naming a source.
func checkExplained(t *rapid.T, d *pipeline.Decision) {
	taken := map[string]bool{}
	for _, e := range d.Explanations {
		if len(e.By) == 0 || e.ElementID == "" {
			t.Fatalf("an explanation without a source: %+v", e)
		}
		for _, c := range e.By {
			if c.Worker == nil && c.Rule != verdict.RuleClosure || c.Worker != nil && c.Worker.Name == "" {
				t.Fatalf("nobody did it: %+v", e)
			}
		}
		taken[fmt.Sprint(e.Kind, e.Ordinal)] = true
	}
	for kind, set := range map[string]*verdict.Set{"nodes": d.Nodes, "relationships": d.Relationships} {
		for i := range set.Len() {
			if set.Whole(i) == taken[fmt.Sprint(kind, i)] {
				t.Fatalf("%s %d: whole %v, explained %v", kind, i, set.Whole(i), !set.Whole(i))
			}
		}
	}
}

// checkAnswer wants a subset of the input, in input order, with the input's own
// bytes wherever nothing was taken away.
func checkAnswer(t *rapid.T, g *graph, req *element.Request, d *pipeline.Decision, nodes, rels []faulttest.Verdict) {
	var out bytes.Buffer
	if _, err := verdict.NewAnswer(req, d.Nodes, d.Relationships, verdict.AnswerOptions{}).WriteTo(&out); err != nil {
		t.Fatal(err)
	}
	var answer struct {
		Result struct {
			Nodes         []json.RawMessage `json:"nodes"`
			Relationships []json.RawMessage `json:"relationships"`
		} `json:"result"`
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatal(err, out.String())
	}
	for kind, x := range map[string]struct {
		in   []string
		want []faulttest.Verdict
		got  []json.RawMessage
	}{"nodes": {g.nodes, nodes, answer.Result.Nodes}, "relationships": {g.rels, rels, answer.Result.Relationships}} {
		at := 0
		for i, v := range x.want {
			if v.Hide {
				continue
			}
			if at == len(x.got) {
				t.Fatalf("%s: too few", kind)
			}
			raw := string(x.got[at])
			if len(v.Strip)+len(v.Mask) == 0 && raw != x.in[i] {
				t.Fatalf("%s: %s became %s", kind, x.in[i], raw)
			}
			if slices.Contains(v.Strip, "secret") && strings.Contains(raw, `"secret"`) {
				t.Fatalf("%s: a stripped property is shown: %s", kind, raw)
			}
			at++
		}
		if at != len(x.got) {
			t.Fatalf("%s: %d too many", kind, len(x.got)-at)
		}
	}
}

func stream(t *rapid.T, ctx context.Context, p *pipeline.Filter, g *graph, size int) *pipeline.Decision {
	return streamAs(t, ctx, p, g, size, alice)
}

func streamAs(t *rapid.T, ctx context.Context, p *pipeline.Filter, g *graph, size int, as authn.Caller) *pipeline.Decision {
	s, err := p.Stream(ctx, pipeline.StreamInput{Caller: as, Type: element.TypeGraph, Explain: true})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	add := func(k element.Kind, elements []string) {
		for base := 0; base < len(elements); base += size {
			var data []byte
			var starts, ends []uint32
			for _, e := range elements[base:min(base+size, len(elements))] {
				starts = append(starts, uint32(len(data)))
				data = append(data, e...)
				ends = append(ends, uint32(len(data)))
			}
			if err := s.Add(k, uint64(base), data, starts, ends); err != nil {
				t.Fatal(err)
			}
		}
	}
	add(element.Nodes, g.nodes)
	add(element.Relationships, g.rels)
	d, err := s.Decide()
	if err != nil {
		t.Fatal(err)
	}
	return d
}
