package pipeline_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
	"github.com/muster-fleet/muster/workers/token"
)

// overheard is everything that workers got to see.
type overheard struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *overheard) note(b []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.text.Write(b)
}

func (o *overheard) take() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer o.text.Reset()
	return o.text.String()
}

// rest serves a worker that is listened to.
func (o *overheard) rest(t *testing.T, decide faulttest.Decide) string {
	inner := faulttest.Handler(decide, false, &faulttest.Calls{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		o.note(body)
		r.Body = io.NopCloser(bytes.NewReader(body))
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL + "/api/filter"
}

// heardStream notes what a worker receives.
type heardStream struct {
	faulttest.Stream
	o *overheard
}

func (s *heardStream) Recv() (*workerv1.FilterRequest, error) {
	m, err := s.Stream.Recv()
	s.o.note(m.GetChunk().GetData())
	return m, err
}

func (o *overheard) grpc(t *testing.T, decide faulttest.Decide) string {
	return faulttest.GRPCWith(t, func(s faulttest.Stream) error {
		return faulttest.Judges(&heardStream{s, o}, decide)
	})
}

// ruledModel has two entities that share names, and one relationship.
var ruledModel = &rule.Model{
	Entities: []rule.Entity{
		{ID: 1, Title: "A", Properties: []rule.Property{{ID: 1, Title: "name"}, {ID: 2, Title: "secret"}, {ID: 3, Title: "level"}}},
		{ID: 2, Title: "B", Properties: []rule.Property{{ID: 11, Title: "name"}, {ID: 12, Title: "secret"}}},
	},
	Relationships: []rule.Relationship{{ID: 1, From: "A", To: "B", Alias: "KNOWS", Name: "knows"}, {ID: 2, From: "A", To: "A", Alias: "KNOWS", Name: "knows"}},
}

type ruledNode struct {
	id, label string
	level     int
}

func (n *ruledNode) text() string {
	return fmt.Sprintf(`{"elementId":"%s","properties":{"name": "name-%s" , "secret":"secret-%s","level":%d},"labels":["%s"]}`, n.id, n.id, n.id, n.level, n.label)
}

// ruledGraph is drawn with the rules over it.
type ruledGraph struct {
	graph
	of    []ruledNode
	rules []rule.Rule
}

func drawRuled(t *rapid.T) *ruledGraph {
	g := &ruledGraph{}
	n := rapid.IntRange(0, 30).Draw(t, "nodes")
	for i := range n {
		x := ruledNode{fmt.Sprintf("n%d", i), rapid.SampledFrom([]string{"A", "B", "C"}).Draw(t, "label"), rapid.IntRange(0, 2).Draw(t, "level")}
		if i > 0 && rapid.IntRange(0, 9).Draw(t, "repeat") == 0 {
			x = g.of[rapid.IntRange(0, i-1).Draw(t, "of")]
		}
		g.of = append(g.of, x)
		g.nodeIDs, g.nodes = append(g.nodeIDs, x.id), append(g.nodes, x.text())
	}
	for i := range rapid.IntRange(0, 30).Draw(t, "rels") {
		from, to := fmt.Sprintf("n%d", rapid.IntRange(0, n+1).Draw(t, "from")), fmt.Sprintf("n%d", rapid.IntRange(0, n+1).Draw(t, "to"))
		id := fmt.Sprintf("r%d", i)
		g.relIDs, g.ends = append(g.relIDs, id), append(g.ends, [2]string{from, to})
		g.rels = append(g.rels, fmt.Sprintf(`{"elementId":"%s","type":"KNOWS","startNodeElementId":"%s","endNodeElementId":"%s","properties":{"secret":"secret-%s"}}`, id, from, to, id))
	}
	for i := range rapid.IntRange(0, 4).Draw(t, "rules") {
		r := rule.Rule{ID: int64(i + 1), Name: fmt.Sprint("rule", i), Active: rapid.IntRange(0, 5).Draw(t, "active") > 0, Groups: []string{"/team"}}
		for _, e := range ruledModel.Entities {
			if rapid.Bool().Draw(t, "entity") {
				grant := rule.EntityGrant{ID: e.ID}
				for _, p := range e.Properties {
					if rapid.Bool().Draw(t, "property") {
						grant.Properties = append(grant.Properties, p.ID)
					}
				}
				r.Entities = append(r.Entities, grant)
				if e.ID == 1 && rapid.Bool().Draw(t, "condition") {
					r.Conditions = append(r.Conditions, rule.Condition{Property: 3, Value: fmt.Sprint(rapid.IntRange(0, 2).Draw(t, "value"))})
				}
			}
		}
		for id := range 3 {
			if rapid.Bool().Draw(t, "relationship") {
				r.Relationships = append(r.Relationships, rule.ID(id))
			}
		}
		g.rules = append(g.rules, r)
	}
	return g
}

// allowed is the laws of rules for these graphs: nil when the node is hidden,
// else the properties that may be seen.
func (g *ruledGraph) allowed(n *ruledNode) map[string]bool {
	var out map[string]bool
	for _, r := range g.rules {
		for _, e := range r.Entities {
			title := map[rule.ID]string{1: "A", 2: "B"}[e.ID]
			meets := e.ID == 2 || len(r.Conditions) == 0 || r.Conditions[0].Value == fmt.Sprint(n.level)
			if !r.Active || title != n.label || !meets {
				continue
			}
			if out == nil {
				out = map[string]bool{}
			}
			for _, p := range e.Properties {
				out[map[rule.ID]string{1: "name", 2: "secret", 3: "level", 11: "name", 12: "secret"}[p]] = true
			}
		}
	}
	return out
}

func (g *ruledGraph) lists(from, to string) bool {
	return slices.ContainsFunc(g.rules, func(r rule.Rule) bool {
		return r.Active && slices.ContainsFunc(r.Relationships, func(id rule.ID) bool {
			return id == 1 && from == "A" && to == "B" || id == 2 && from == "A" && to == "A"
		})
	})
}

// expected joins rules and minds.
func (g *ruledGraph) expected(minds []*mind) (nodes, rels []faulttest.Verdict, seenByWorkers map[string]bool) {
	visible, labels := map[string]bool{}, map[string]string{}
	seenByWorkers = map[string]bool{}
	byRules := map[string]bool{}
	for i := range g.of {
		n := &g.of[i]
		allowed := g.allowed(n)
		labels[n.id] = n.label
		if allowed == nil {
			nodes = append(nodes, faulttest.Verdict{Hide: true})
			continue
		}
		byRules[n.id], seenByWorkers[n.id] = true, true
		v := meet(n.id, minds)
		visible[n.id] = !v.Hide
		for _, p := range []string{"name", "secret", "level"} {
			seenByWorkers[p+"-"+n.id] = allowed[p]
			if !allowed[p] {
				delete(v.Mask, p)
				v.Strip = append(v.Strip, p)
			}
		}
		slices.Sort(v.Strip)
		v.Strip = slices.Compact(v.Strip)
		nodes = append(nodes, v)
	}
	for i, id := range g.relIDs {
		from, to := g.ends[i][0], g.ends[i][1]
		v := meet(id, minds)
		delete(v.Mask, "name") // which a relationship has not
		v.Strip = slices.DeleteFunc(v.Strip, func(s string) bool { return s == "name" })
		seenByWorkers[id] = g.lists(labels[from], labels[to]) && byRules[from] && byRules[to]
		if !seenByWorkers[id] || !visible[from] || !visible[to] {
			v = faulttest.Verdict{Hide: true}
		}
		rels = append(rels, v)
	}
	return nodes, rels, seenByWorkers
}

var teamed = authn.Caller{Principal: &token.Principal{Issuer: "https://issuer.test", Subject: "alice", Username: "Alice", Groups: []string{"/team", "/other"}}, Token: "alice-token"}

func ruledFilter(t interface{ Fatal(...any) }, f fanoutAsker, s *registry.Snapshot, cfg pipeline.Config) *pipeline.Filter {
	p, err := pipeline.New(cfg, pipeline.Deps{Snapshots: func() *registry.Snapshot { return s }, Fleet: f, Rules: rules.New(rules.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestRulesThenWorkers draws graphs, rules and minds, and holds the whole line
// against the laws: what is visible is the meet of both, workers get what the
// rules leave and not a byte more, and all that is taken away is explained.
func TestRulesThenWorkers(t *testing.T) {
	heard := &overheard{}
	minds := []*mind{{}, {}}
	urls := []string{heard.rest(t, minds[0].decide), heard.grpc(t, minds[1].decide)}
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	rapid.Check(t, func(rt *rapid.T) {
		heard.take()
		g := drawRuled(rt)
		var workers []*registry.Worker
		var asked []*mind
		for i, url := range urls {
			if rapid.IntRange(0, 3).Draw(rt, "asked") == 0 {
				continue
			}
			minds[i].seed.Store(rapid.Uint64().Draw(rt, "mind"))
			w := faulttest.Worker(i, url)
			w.Settings.Mask, w.Settings.Timeout = true, 20*time.Second
			w.Settings.MaxElementsPerCall = rapid.SampledFrom([]int{0, 2}).Draw(rt, "split")
			workers, asked = append(workers, w), append(asked, minds[i])
		}
		snapshot := faulttest.Snapshot(workers...).WithRules(ruledModel, rule.SetOf(g.rules...))
		f.Sync(snapshot)
		p := ruledFilter(rt, f, snapshot, pipeline.Config{})
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		req, err := element.ParseRequest(g.body(), element.Options{})
		if err != nil {
			rt.Fatal(err)
		}
		nodes, rels, seen := g.expected(asked)
		d, err := p.Decide(ctx, pipeline.Input{Caller: teamed, Request: req, Explain: true})
		if err != nil {
			rt.Fatal(err)
		}
		check(rt, "nodes", g.nodeIDs, req.Nodes.Ordinal, d.Nodes, nodes)
		check(rt, "relationships", g.relIDs, req.Relationships.Ordinal, d.Relationships, rels)
		checkHeard(rt, heard.take(), seen)
		checkRuledExplained(rt, d, seen)
		checkSameAnswer(rt, req, d)
		checkAnswer(rt, &g.graph, req, d, nodes, rels)
		plain, err := p.Decide(ctx, pipeline.Input{Caller: teamed, Request: req})
		if err != nil || plain.Explanations != nil {
			rt.Fatal("explanations that nobody asked for", err)
		}
		check(rt, "unexplained nodes", g.nodeIDs, req.Nodes.Ordinal, plain.Nodes, nodes)
		checkSameAnswer(rt, req, plain)
		plain.Release()
		heard.take()
		streamed := streamAs(rt, ctx, p, &g.graph, rapid.IntRange(1, 50).Draw(rt, "chunk"), teamed)
		same := func(p int) int { return p }
		check(rt, "streamed nodes", g.nodeIDs, same, streamed.Nodes, nodes)
		check(rt, "streamed relationships", g.relIDs, same, streamed.Relationships, rels)
		checkHeard(rt, heard.take(), seen)
		checkStreamedExplained(rt, d, streamed)
		d.Release()
		req.Release()
	})
}

// checkHeard looks for what workers must not have seen.
func checkHeard(t *rapid.T, heard string, seen map[string]bool) {
	for i := range 31 {
		for _, x := range []string{fmt.Sprintf("name-n%d", i), fmt.Sprintf("secret-n%d", i)} {
			if strings.Contains(heard, x+`"`) && !seen[x] {
				t.Fatalf("workers got %s in %s", x, heard)
			}
		}
		n, r := fmt.Sprintf("n%d", i), fmt.Sprintf("r%d", i)
		if strings.Contains(heard, `"elementId":"`+n+`"`) && !seen[n] || strings.Contains(heard, `"elementId":"`+r+`"`) && !seen[r] {
			t.Fatalf("workers got element %d in %s", i, heard)
		}
	}
}

// checkSameAnswer: what is written from the narrowed request is what the
// verdicts over the whole one say. What stands between two elements is not theirs.
func checkSameAnswer(t *rapid.T, req *element.Request, d *pipeline.Decision) {
	var got, want bytes.Buffer
	o := verdict.AnswerOptions{Explain: []byte("[]")}
	if _, err := d.Answer(o).WriteTo(&got); err != nil {
		t.Fatal(err)
	}
	if _, err := verdict.NewAnswer(req, d.Nodes, d.Relationships, o).WriteTo(&want); err != nil {
		t.Fatal(err)
	}
	between := strings.NewReplacer(" ,\n", ",")
	if between.Replace(got.String()) != between.Replace(want.String()) {
		t.Fatalf("%s\n%s", got.String(), want.String())
	}
}

// checkRuledExplained wants rules named for what workers never saw, and nobody
// else.
func checkRuledExplained(t *rapid.T, d *pipeline.Decision, seen map[string]bool) {
	taken := map[string]bool{}
	for _, e := range d.Explanations {
		taken[fmt.Sprint(e.Kind, e.Ordinal)] = true
		rulesDid := slices.ContainsFunc(e.By, func(c verdict.Cause) bool {
			return c.Rule == verdict.RuleAccess && (c.Reason == verdict.ReasonNoRule) == (e.Verdict == verdict.VerdictHidden)
		})
		closed := slices.ContainsFunc(e.By, func(c verdict.Cause) bool { return c.Rule == verdict.RuleClosure })
		workersDid := slices.ContainsFunc(e.By, func(c verdict.Cause) bool { return c.Worker != nil })
		if len(e.By) == 0 || e.Verdict == verdict.VerdictHidden && !seen[e.ElementID] && (workersDid || rulesDid == closed) {
			t.Fatalf("%+v", e)
		}
		if e.Verdict == verdict.VerdictHidden && seen[e.ElementID] && rulesDid {
			t.Fatalf("%+v", e)
		}
	}
	for kind, set := range map[string]*verdict.Set{"nodes": d.Nodes, "relationships": d.Relationships} {
		for i := range set.Len() {
			if set.Whole(i) == taken[fmt.Sprint(kind, i)] {
				t.Fatalf("%s %d: whole %v, explained %v", kind, i, set.Whole(i), !set.Whole(i))
			}
		}
	}
}

// checkStreamedExplained: over a stream the same explanations come, by place,
// but for strips that workers name of properties they did not get.
func checkStreamedExplained(t *rapid.T, whole, streamed *pipeline.Decision) {
	hidden := func(d *pipeline.Decision) (out []string) {
		for _, e := range d.Explanations {
			if e.Verdict == verdict.VerdictHidden {
				out = append(out, fmt.Sprint(e.Kind, e.Verdict, e.By))
			}
		}
		return out
	}
	if x, y := hidden(whole), hidden(streamed); len(x) != len(y) {
		t.Fatalf("%v\n%v", x, y)
	}
}
