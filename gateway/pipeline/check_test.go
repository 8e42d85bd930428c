package pipeline_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/gateway/pipeline"
	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/workers/element"
	"github.com/muster-fleet/muster/workers/token"
)

const checkBody = `{"parameters":{"type":"graph"},"data":{"nodes":[
{"elementId":"a","labels":["A","A"],"properties":{"name":"x","secret":1,"level":2}},
{"elementId":"b","labels":["B"],"properties":{"name":"y"}},
{"elementId":"c","labels":["C"],"properties":{}}],"relationships":[
{"elementId":"ab","type":"KNOWS","startNodeElementId":"a","endNodeElementId":"b","properties":{"p":1}},
{"elementId":"ac","type":"KNOWS","startNodeElementId":"a","endNodeElementId":"c","startNodeLabel":"A","endNodeLabel":"A","properties":{}},
{"elementId":"ba","type":"KNOWS","startNodeElementId":"b","endNodeElementId":"a","properties":{}}]}}`

func checkRules() *rule.Set {
	return rule.SetOf(
		rule.Rule{ID: 30, Name: "names", Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{1}}, {ID: 2, Properties: []rule.ID{11}}}, Relationships: []rule.ID{1, 2}},
		rule.Rule{ID: 7, Name: "second level", Active: true, Users: []string{"ALICE"}, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{3}}}, Conditions: []rule.Condition{{Property: 3, Value: "2"}}, Functions: []rule.ID{5}},
		rule.Rule{ID: 8, Name: "third level", Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{2}}}, Conditions: []rule.Condition{{Property: 3, Value: "3"}}},
		rule.Rule{ID: 9, Name: "off", Users: []string{"alice"}, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{2}}}, Functions: []rule.ID{6}},
	)
}

func checker(t *testing.T, s *registry.Snapshot) *pipeline.Filter {
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	return ruledFilter(t, f, s, pipeline.Config{})
}

func TestCheckNamesTheRules(t *testing.T) {
	p := checker(t, faulttest.Snapshot().WithRules(ruledModel, checkRules()))
	req := faulttest.Parse(t, checkBody)
	defer req.Release()
	alice := rule.SubjectsOf("Alice", "", nil)
	d, err := p.Check(t.Context(), alice, req)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	text, err := verdict.ExplainJSON(d.Explanations)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`{"kind":"nodes","elementId":"a","verdict":"stripped","properties":["secret"],"by":[{"rule":"graph-access-rules","reason":"not_granted"}]}`,
		`{"kind":"nodes","elementId":"a","verdict":"visible","properties":["level","name"],"by":[{"rule":"second level","reason":"grants"},{"rule":"names","reason":"grants"}]}`,
		`{"kind":"nodes","elementId":"b","verdict":"visible","properties":["name"],"by":[{"rule":"names","reason":"grants"}]}`,
		`{"kind":"nodes","elementId":"c","verdict":"hidden","properties":[],"by":[{"rule":"graph-access-rules","reason":"no_rule"}]}`,
		`{"kind":"relationships","elementId":"ab","verdict":"visible","properties":["p"],"by":[{"rule":"names","reason":"grants"}]}`,
		`{"kind":"relationships","elementId":"ac","verdict":"hidden","properties":[],"by":[{"rule":"closure","reason":"an end is not visible"}]}`,
		`{"kind":"relationships","elementId":"ba","verdict":"hidden","properties":[],"by":[{"rule":"graph-access-rules","reason":"no_rule"}]}`,
	}
	var got []json.RawMessage
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%s", text)
	}
	for i := range want {
		if string(got[i]) != want[i] {
			t.Errorf("%s\nwant %s", got[i], want[i])
		}
	}
	var body strings.Builder
	if _, err := d.Answer(verdict.AnswerOptions{Explain: text}).WriteTo(&body); err != nil || !strings.Contains(body.String(), `{"name":"x","level":2}`) || !strings.HasSuffix(body.String(), string(text)+"}") {
		t.Errorf("%v %s", err, body.String())
	}
	if !p.Function(alice, 5) || p.Function(alice, 6) || p.Function(rule.SubjectsOf("bob", "", nil), 5) || !p.RulesOn() {
		t.Error("functions")
	}
}

func TestCheckNamesNotTooMany(t *testing.T) {
	var all []rule.Rule
	for id := range int64(100) {
		all = append(all, rule.Rule{ID: id + 1, Name: fmt.Sprint("r", id+1), Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{{ID: 2}}})
	}
	p := checker(t, faulttest.Snapshot().WithRules(ruledModel, rule.SetOf(all...)))
	req := faulttest.Parse(t, checkBody)
	defer req.Release()
	d, err := p.Check(t.Context(), rule.SubjectsOf("alice", "", nil), req)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	for _, e := range d.Explanations {
		if e.Verdict == verdict.VerdictVisible && (len(e.By) != pipeline.MaxNamedRules || e.By[0].Rule != "r1") {
			t.Errorf("%d rules, from %s", len(e.By), e.By[0].Rule)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := p.Check(ctx, rule.SubjectsOf("alice", "", nil), req); err == nil {
		t.Error("it went on for nobody")
	}
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	off := filter(t, f, faulttest.Snapshot(), pipeline.Config{})
	_, err = off.Check(t.Context(), rule.Subjects{}, req)
	if fe := (*fault.Error)(nil); !errors.As(err, &fe) || fe.Code != "rules_disabled" || off.RulesOn() || off.Function(rule.Subjects{}, 1) {
		t.Errorf("without rules: %v", err)
	}
}

// A node with many properties of which most are hidden is explained in proportion
// to them. If each were looked for among all that are hidden, this takes longer
// than any test may.
func TestCheckOfManyProperties(t *testing.T) {
	p := checker(t, faulttest.Snapshot().WithRules(ruledModel, checkRules()))
	const properties = 500_000
	var body strings.Builder
	body.WriteString(`{"parameters":{"type":"nodes"},"data":[{"elementId":"a","labels":["A"],"properties":{"name":1`)
	for k := range properties {
		fmt.Fprintf(&body, `,"p%d":1`, k)
	}
	body.WriteString(`}}]}`)
	req := faulttest.Parse(t, body.String())
	defer req.Release()
	d, err := p.Check(t.Context(), rule.SubjectsOf("alice", "", nil), req)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Release()
	if e := d.Explanations; len(e) != 2 || len(e[0].Properties) != properties || !slices.Equal(e[1].Properties, []string{"name"}) {
		t.Errorf("%d explanations", len(e))
	}
}

// TestNothingVisibleIsNoError: whoever no rule names sees nothing; nothing is
// not sent anywhere, so it does not matter whether workers would answer.
func TestNothingVisibleIsNoError(t *testing.T) {
	broken := faulttest.Worker(1, "http://127.0.0.1:1/")
	quarantined := faulttest.Worker(2, "http://127.0.0.1:1/")
	quarantined.Quarantined = &registry.Quarantine{}
	snapshot := faulttest.Snapshot(broken, quarantined).WithRules(ruledModel, checkRules())
	p := checker(t, snapshot)
	req := faulttest.Parse(t, checkBody)
	defer req.Release()
	bob := authn.Caller{Principal: &token.Principal{Issuer: "https://issuer.test", Subject: "bob", Username: "bob"}, Token: "bob-token"}
	d, err := p.Decide(t.Context(), pipeline.Input{Caller: bob, Request: req})
	if err != nil || !d.Complete || d.Nodes.Any() || d.Relationships.Any() {
		t.Fatalf("%+v %v", d, err)
	}
	var body strings.Builder
	if _, err := d.Answer(verdict.AnswerOptions{}).WriteTo(&body); err != nil || body.String() != `{"result":{"nodes":[],"relationships":[]}}` {
		t.Errorf("%v %s", err, body.String())
	}
	d.Release()
	s, err := p.Stream(t.Context(), pipeline.StreamInput{Caller: bob, Type: element.TypeNodes})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	node := faulttest.Node("n")
	if err := s.Add(element.Nodes, 0, []byte(node), []uint32{0}, []uint32{uint32(len(node))}); err != nil {
		t.Fatal(err)
	}
	if d, err := s.Decide(); err != nil || d.Nodes.Any() || d.Nodes.Len() != 1 || d.Relationships != nil {
		t.Errorf("%+v %v", d, err)
	}
	// Whoever sees something is told that it cannot be judged.
	as := authn.Caller{Principal: faulttest.Alice, Token: "alice-token"}
	if d, err := p.Decide(t.Context(), pipeline.Input{Caller: as, Request: req}); err == nil {
		t.Errorf("%+v", d)
	}
	// The bound on workers holds for everybody.
	p = ruledFilter(t, fleetOf(t), faulttest.Snapshot().WithRules(ruledModel, checkRules()), pipeline.Config{MinWorkers: 1})
	_, err = p.Decide(t.Context(), pipeline.Input{Caller: bob, Request: req})
	checkCode(t, err, "no_security_worker")
}

func fleetOf(t *testing.T) *fanout.Fleet {
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	return f
}

// TestLeftWholeIsNotCopied: workers get the caller's own bytes where the rules
// take nothing away.
func TestLeftWholeIsNotCopied(t *testing.T) {
	set := rule.SetOf(rule.Rule{ID: 1, Name: "all", Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{{ID: 1, Properties: []rule.ID{1, 2, 3}}}})
	asked := &askedFor{}
	snapshot := faulttest.Snapshot(faulttest.Worker(1, "http://127.0.0.1:1/")).WithRules(ruledModel, set)
	p, err := pipeline.New(pipeline.Config{}, pipeline.Deps{Snapshots: func() *registry.Snapshot { return snapshot }, Fleet: asked, Rules: rules.New(rules.Config{})})
	if err != nil {
		t.Fatal(err)
	}
	for body, same := range map[string]bool{
		`{"parameters":{"type":"nodes"},"data":[{"elementId":"a","labels":["A"],"properties":{"name":1}}]}`:                                                 true,
		`{"parameters":{"type":"nodes"},"data":[{"elementId":"a","labels":["A"],"properties":{"name":1,"other":2}}]}`:                                       false,
		`{"parameters":{"type":"nodes"},"data":[{"elementId":"a","labels":["A"],"properties":{}},  {"elementId":"b","labels":["B"],"properties":{"x":1}}]}`: false,
	} {
		req := faulttest.Parse(t, body)
		as := authn.Caller{Principal: faulttest.Alice, Token: "alice-token"}
		d, err := p.Decide(t.Context(), pipeline.Input{Caller: as, Request: req})
		if err != nil {
			t.Fatal(err)
		}
		if (asked.call.Request == req) != same || (asked.call.Body == nil) != same {
			t.Errorf("%s: the same request %v", body, !same)
		}
		d.Release()
		req.Release()
	}
}

// askedFor is a fleet that shows everything and remembers what it was asked.
type askedFor struct {
	pipeline.Asker
	call *fanout.Call
}

func (a *askedFor) Ask(_ context.Context, c *fanout.Call) ([]fanout.Outcome, error) {
	a.call = c
	return []fanout.Outcome{{Worker: c.Workers[0], Nodes: verdict.NewWhole(c.Request.Nodes.Len())}}, nil
}
