package storetest

import (
	"encoding/json"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

func ruleTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"every field of a rule comes back":          testRuleFields,
		"Ignore is the default":                     testIgnore,
		"DeleteOnConflict takes over":               testDeleteOnConflict,
		"DeleteAllForUser is the creator's own":     testDeleteAllForUser,
		"all mistakes at once and nothing stored":   testRuleMistakes,
		"the step is not the caller's to say":       testStepIsNotSaid,
		"a rerun changes nothing":                   testRerun,
		"rules leave workers alone and vice versa":  testNothingElseMoves,
		"one rule is read, put and deleted":         testOneRule,
		"a creator's rules go at once":              testDeleteRulesOf,
		"posts are audited in bounded rows":         testRuleAudit,
		"unknown ids are stored and told":           testUnknownIDs,
		"rules of a store that goes away stay":      testRulesStoreGone,
		"a post whose answer is lost":               testRulesUnknownCommit,
		"chunks are staged, then swapped in":        testGeneration,
		"committing again answers the same":         testCommitAgain,
		"a newer generation drops the older":        testSuperseded,
		"a day without commit drops what is staged": testTooOld,
		"a refused chunk leaves what was staged":    testRefusedChunk,
		"generations are a creator's own":           testGenerationsApart,
		"a commit ignores what others have":         testCommitConflict,
		"the model is replaced whole":               testModel,
		"a model orphans rules and says so":         testModelOrphans,
		"used ids are not rebound by accident":      testRebinds,
		"rebinding drops what is staged":            testRebindDropsStaged,
		"random posts against a map":                testRandomPosts,
		"rule deltas are told by revision":          testRuleDeltas,
		"many rules":                                testManyRules,
	}
}

func testRuleFields(t *testing.T, b Backend) {
	open := b.New(t)
	c := &clock{at: noon}
	s := service(t, open, newFleet(), func(o *registry.Options) { o.Clock = c.now })
	in := rule.Rule{
		Name: "Zürich 'quoted' \"x\" \\ 日本", Active: false, Users: []string{"Älice", "bob"}, Groups: []string{"/a/b", "Test Group"},
		Clients: []string{"service-account-user"}, Entities: []rule.EntityGrant{{ID: 414, Properties: []rule.ID{5303, 5296}}, {ID: 0}},
		Relationships: []rule.ID{415, rule.MaxID}, Conditions: []rule.Condition{{Property: 5303, Value: "2500"}, {Property: 5296, Value: "\x00 ü"}, {Property: 5303}},
		Functions: []rule.ID{12},
		// What only the store knows is not taken from the caller.
		ID: 77, Creator: rule.Creator{Subject: "somebody"}, CreatedBy: "else", Run: "x", Revision: 5, CreatedAt: noon.Add(time.Hour),
	}
	alice.post(t, s, rule.Ignore, in)
	want := in
	want.ID, want.Creator, want.CreatedBy, want.Run, want.CreatedAt, want.UpdatedAt = 1, alice.creator, "alice", "", noon, noon
	want.Revision = int64(s.Snapshot().Revision)
	got, there := s.Snapshot().Rules.ByName(in.Name)
	if !there || !reflect.DeepEqual(got, want) {
		t.Fatalf("in memory %+v\nnot %+v", got, want)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet())
	if got, _ = s.Snapshot().Rules.ByName(in.Name); !reflect.DeepEqual(got, want) {
		t.Fatalf("stored %+v\nnot %+v", got, want)
	}
}

func testIgnore(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	if got := answered(alice.post(t, s, "", ruleOf("b", 1), ruleOf("a", 1))); got != "created a b, ignored , deleted " {
		t.Error(got)
	}
	if got := answered(alice.post(t, s, rule.Ignore, ruleOf("c", 2), ruleOf("a", 2))); got != "created c, ignored a, deleted " {
		t.Error(got)
	}
	if got := answered(bob.post(t, s, "", ruleOf("a", 3), ruleOf("d", 3))); got != "created d/bob, ignored a, deleted " {
		t.Error(got)
	}
	holds(t, s, "[a[1] b[1] c[2] d[3]/bob]")
}

func testDeleteOnConflict(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 1))
	before, _ := s.Snapshot().Rules.ByName("a")
	got := bob.post(t, s, rule.DeleteOnConflict, ruleOf("a", 2), ruleOf("c", 2))
	if text := answered(got); text != "created a/bob c/bob, ignored , deleted a" {
		t.Error(text)
	}
	holds(t, s, "[a[2]/bob b[1] c[2]/bob]")
	after, _ := s.Snapshot().Rules.ByName("a")
	if after.Creator != bob.creator || after.ID == before.ID {
		t.Errorf("the poster is the creator of another rule: %+v", after)
	}
	if _, there := s.Snapshot().Rules.Get(before.ID); there {
		t.Error("the deleted rule is still there")
	}
	// From now on it is bob's.
	bob.post(t, s, rule.DeleteAllForUser)
	holds(t, s, "[b[1]]")
}

func testDeleteAllForUser(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 1), ruleOf("c", 1))
	bob.post(t, s, "", ruleOf("x", 1), ruleOf("y", 1))
	got := alice.post(t, s, rule.DeleteAllForUser, ruleOf("b", 2), ruleOf("c", 1), ruleOf("d", 2), ruleOf("x", 2))
	if text := answered(got); text != "created b c d, ignored x/bob, deleted a b c" {
		t.Error(text)
	}
	holds(t, s, "[b[2] c[1] d[2] x[1]/bob y[1]/bob]")
	if text := answered(bob.post(t, s, rule.DeleteAllForUser)); text != "created , ignored , deleted x/bob y/bob" {
		t.Error(text)
	}
	holds(t, s, "[b[2] c[1] d[2]]")
	other := alice
	other.creator.Issuer = "https://another"
	other.post(t, s, rule.DeleteAllForUser, ruleOf("z", 1))
	holds(t, s, "[b[2] c[1] d[2] z[1]]")
}

func testRuleMistakes(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.post(t, s, "", ruleOf("a", 1))
	rev, rows := s.Snapshot().Revision, len(audited(t, s))
	nobody, nothing := ruleOf("nobody", 1), ruleOf("nothing", 1)
	nobody.Groups = nil
	nothing.Entities, nothing.Relationships = nil, nil
	in := alice.request("Sometimes", ruleOf("good", 1), ruleOf("", 1), nobody, nothing, ruleOf("good", 2))
	in.Generation = "g\x07"
	in.Violations = []fault.Violation{{Code: "bad_rules", Pointer: "/rules/0/accessLevel", Detail: "accessLevel: is not view"}}
	_, err := s.PostRules(t.Context(), alice.actor, in)
	e := refused(t, err, "bad_rules")
	var all []string
	for _, v := range e.Violations {
		all = append(all, v.Pointer)
	}
	want := "/rules/0/accessLevel /ruleCreationStrategy /generation /generation /rules/1/name /rules/2 /rules/3 /rules/4/name"
	if got := strings.Join(all, " "); got != want || e.Kind != fault.Invalid {
		t.Errorf("%s\nnot %s", got, want)
	}
	holds(t, s, "[a[1]]")
	if s.Snapshot().Revision != rev || len(audited(t, s)) != rows {
		t.Error("a refused request has changed something")
	}
}

// testStepIsNotSaid: whose step it is follows from the token's run alone.
func testStepIsNotSaid(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	in := alice.request("", ruleOf("a", 1))
	in.Creator.Step = "nightly"
	if _, err := s.PostRules(t.Context(), alice.actor, in); err != nil {
		t.Fatal(err)
	}
	if r, _ := s.Snapshot().Rules.ByName("a"); r.Creator != alice.creator {
		t.Errorf("%+v", r.Creator)
	}
}

func testRerun(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	rules := []rule.Rule{ruleOf("a", 1), ruleOf("b", 1), ruleOf("c", 1)}
	alice.post(t, s, "", rules...)
	before := s.Snapshot()
	for _, strategy := range []rule.Strategy{rule.Ignore, rule.DeleteOnConflict, rule.DeleteAllForUser} {
		alice.post(t, s, strategy, rules...)
		if s.Snapshot().Rules != before.Rules {
			t.Errorf("%s: the same rules again made another set", strategy)
		}
	}
	alice.stage(t, s, "g1", rules...)
	if _, err := alice.commit(t, s, "g1"); err != nil {
		t.Fatal(err)
	}
	if s.Snapshot().Rules != before.Rules || s.Snapshot().Revision == before.Revision {
		t.Error("a generation of the same rules made another set")
	}
	a, _ := before.Rules.ByName("a")
	rules[1] = ruleOf("b", 2)
	alice.post(t, s, rule.DeleteAllForUser, rules...)
	if got, _ := s.Snapshot().Rules.ByName("a"); !reflect.DeepEqual(got, a) {
		t.Errorf("%+v is not %+v, though only b changed", got, a)
	}
	holds(t, s, "[a[1] b[2] c[1]]")
}

func testNothingElseMoves(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet().serve(Worker(1), Worker(2)))
	register(t, s, Worker(1))
	if _, err := s.ReplaceModel(t.Context(), alice.actor, sampleModel(), false); err != nil {
		t.Fatal(err)
	}
	before := s.Snapshot()
	alice.post(t, s, "", ruleOf("a", 1))
	after := s.Snapshot()
	if &before.Workers[0] != &after.Workers[0] || &before.GraphSecurity()[0] != &after.GraphSecurity()[0] || before.Model != after.Model {
		t.Error("a rule made workers or model anew")
	}
	if before.Rules.Len() != 0 || after.Rules.Len() != 1 {
		t.Error("the snapshot before has changed")
	}
	register(t, s, Worker(2))
	if s.Snapshot().Rules != after.Rules || s.Snapshot().Model != after.Model || s.Snapshot().ModelRevision != before.ModelRevision {
		t.Error("a worker made rules or model anew")
	}
}

func testOneRule(t *testing.T, b Backend) {
	open := b.New(t)
	c := &clock{at: noon}
	s := service(t, open, newFleet(), func(o *registry.Options) { o.Clock = c.now })
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 1))
	a, _ := s.Snapshot().Rules.ByName("a")
	c.advance(time.Minute)
	edited := ruleOf("a", 2)
	edited.Active, edited.Users, edited.Groups = false, []string{"bob"}, nil
	for _, never := range []string{"0", `W/"1"`, `"7", "8"`, "x", ","} {
		_, err := s.PutRule(t.Context(), bob.actor, a.ID, edited, never)
		if e := refused(t, err, "revision_mismatch"); e.Kind != fault.Precondition {
			t.Error(e)
		}
		refused(t, s.DeleteRule(t.Context(), bob.actor, a.ID, never), "revision_mismatch")
	}
	got, err := s.PutRule(t.Context(), bob.actor, a.ID, edited, fmt.Sprintf("%q", fmt.Sprint(a.Revision)))
	want := edited
	want.ID, want.Creator, want.CreatedBy, want.CreatedAt, want.UpdatedAt = a.ID, alice.creator, "alice", noon, noon.Add(time.Minute)
	want.Revision = int64(s.Snapshot().Revision)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("%+v %v\nnot %+v", got, err, want)
	}
	row := audited(t, s)[1]
	if row.Action != registry.ActionRuleUpdated || row.Resource != fmt.Sprint("rule:", a.ID) || row.Actor != bob.actor ||
		!strings.Contains(string(row.Before), `"groups":["/staff"]`) || !strings.Contains(string(row.After), `"users":["bob"]`) {
		t.Errorf("%+v %s %s", row, row.Before, row.After)
	}
	rev := s.Snapshot().Revision
	if again, err := s.PutRule(t.Context(), bob.actor, a.ID, edited, "*"); err != nil || again.Revision != got.Revision || s.Snapshot().Revision != rev {
		t.Errorf("the same again is no change: %+v %v", again, err)
	}
	_, err = s.PutRule(t.Context(), bob.actor, a.ID, ruleOf("renamed", 2), "")
	refused(t, err, "bad_rules")
	_, err = s.PutRule(t.Context(), bob.actor, a.ID, rule.Rule{Name: "a"}, "")
	if e := refused(t, err, "bad_rules"); len(e.Violations) != 2 {
		t.Error(e.Violations)
	}
	_, err = s.PutRule(t.Context(), bob.actor, 99, edited, "")
	refused(t, err, "not_found")
	refused(t, s.DeleteRule(t.Context(), bob.actor, 99, ""), "not_found")
	if err := s.DeleteRule(t.Context(), bob.actor, a.ID, ""); err != nil {
		t.Fatal(err)
	}
	holds(t, s, "[b[1]]")
	if all := audited(t, s); all[len(all)-1].Action != registry.ActionRuleDeleted || all[len(all)-1].After != nil {
		t.Errorf("%+v", all)
	}
	alice.post(t, s, "", ruleOf("a", 3))
	if r, _ := s.Snapshot().Rules.ByName("a"); r.ID <= a.ID+1 {
		t.Errorf("id %d is given again", r.ID)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	holds(t, service(t, open, newFleet()), "[a[3] b[1]]")
}

func testDeleteRulesOf(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 1))
	bob.post(t, s, "", ruleOf("c", 1))
	for want := 2; want >= 0; want -= 2 {
		rows := len(audited(t, s))
		if n, err := s.DeleteRulesOf(t.Context(), alice.actor, alice.creator); err != nil || n != want {
			t.Errorf("%d %v", n, err)
		}
		if more := len(audited(t, s)) - rows; more != want/2 {
			t.Errorf("%d rows for %d rules", more, want)
		}
	}
	holds(t, s, "[c[1]/bob]")
}

func testRuleAudit(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	bob.post(t, s, "", ruleOf("theirs", 1), ruleOf("also theirs", 1))
	var many []rule.Rule
	for n := range 3000 {
		many = append(many, ruleOf(fmt.Sprint("rule ", n), 1))
	}
	alice.post(t, s, rule.DeleteAllForUser, append(many, ruleOf("theirs", 2))...)
	alice.post(t, s, rule.DeleteOnConflict, ruleOf("also theirs", 2))
	all := audited(t, s)
	if len(all) != 3 {
		t.Fatalf("%d rows", len(all))
	}
	type row struct {
		Created, Ignored, Deleted struct{ Count int }
		Written, Removed          int
		Foreign                   []struct {
			Name, What string
			CreatedBy  struct{ Subject string }
		}
		Creator struct{ Subject string }
	}
	var rows [2]row
	for i, e := range all[1:] {
		if err := json.Unmarshal(e.After, &rows[i]); err != nil || len(e.After) > 2000 || e.Action != registry.ActionRulesPosted {
			t.Fatalf("%s (%d bytes): %v", e.Action, len(e.After), err)
		}
	}
	if r := rows[0]; r.Created.Count != 3000 || r.Ignored.Count != 1 || r.Written != 3000 || len(r.Foreign) != 1 ||
		r.Foreign[0].What != "ignored" || r.Foreign[0].CreatedBy.Subject != bob.creator.Subject || r.Creator.Subject != alice.creator.Subject {
		t.Errorf("%+v", r)
	}
	if r := rows[1]; r.Deleted.Count != 1 || r.Removed != 1 || r.Foreign[0].What != "replaced" || r.Foreign[0].Name != "also theirs" {
		t.Errorf("%+v", r)
	}
	big := ruleOf("big", 1)
	for n := range 40_000 {
		big.Relationships = append(big.Relationships, rule.ID(n))
	}
	alice.post(t, s, "", big)
	r, _ := s.Snapshot().Rules.ByName("big")
	if err := s.DeleteRule(t.Context(), alice.actor, r.ID, ""); err != nil {
		t.Fatal(err)
	}
	if all = audited(t, s); len(all[4].Before) > 4000 || !strings.Contains(string(all[4].Before), "sha256") {
		t.Errorf("a row of %d bytes", len(all[4].Before))
	}
}

func testUnknownIDs(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 77))
	list := func() (names []string) {
		snap := s.Snapshot()
		for r := range snap.Rules.Select(snap.Model, rule.Filter{State: rule.StateOrphaned}, 0) {
			names = append(names, r.Name)
		}
		return names
	}
	if got := list(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("without a model: %v", got)
	}
	if _, err := s.ReplaceModel(t.Context(), alice.actor, sampleModel(), false); err != nil {
		t.Fatal(err)
	}
	if got := list(); !slices.Equal(got, []string{"b"}) {
		t.Errorf("the model followed: %v", got)
	}
}

func testRulesStoreGone(t *testing.T, b Backend) {
	s, c := cutting(t, b.New(t), newFleet(), often)
	alice.post(t, s, "", ruleOf("a", 1))
	c.off.Store(true)
	_, err := s.PostRules(t.Context(), alice.actor, alice.request("", ruleOf("b", 1)))
	refused(t, err, "store_unavailable")
	_, _, err = s.StagedRules(t.Context(), rule.Filter{}, registry.StagedPlace{}, 10)
	refused(t, err, "store_unavailable")
	holds(t, s, "[a[1]]")
	c.off.Store(false)
	eventually(t, "it works again", func() bool {
		_, err := s.PostRules(t.Context(), alice.actor, alice.request("", ruleOf("b", 1)))
		return err == nil
	})
	holds(t, s, "[a[1] b[1]]")
}

func testRulesUnknownCommit(t *testing.T, b Backend) {
	s, c := cutting(t, b.New(t), newFleet(), often)
	c.drops.Store(true)
	_, err := s.PostRules(t.Context(), alice.actor, alice.request("", ruleOf("a", 1)))
	refused(t, err, "store_unavailable")
	c.drops.Store(false)
	eventually(t, "what was stored is seen", func() bool { return s.Snapshot().Rules.Len() == 1 })
}
