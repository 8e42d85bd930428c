package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

func testGeneration(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 1))
	bob.post(t, s, "", ruleOf("x", 1))
	if got := answered(alice.stage(t, s, "g1", ruleOf("b", 2), ruleOf("c", 2))); got != "created b c, ignored , deleted " {
		t.Error(got)
	}
	alice.stage(t, s, "g1", ruleOf("a", 1))
	holds(t, s, "[a[1] b[1] x[1]/bob]")
	if got := stagedNames(t, s); !slices.Equal(got, []string{"g1:a", "g1:b", "g1:c"}) {
		t.Error(got)
	}
	list, _, err := s.StagedRules(t.Context(), rule.Filter{NamePrefix: "c", Creator: &alice.creator}, registry.StagedPlace{}, 5)
	if err != nil || len(list) != 1 || list[0].Rule.Relationships[0] != 2 || list[0].Rule.CreatedBy != "alice" || list[0].Generation != "g1" {
		t.Errorf("%+v %v", list, err)
	}
	// Posts without a generation go on as they do without one.
	alice.post(t, s, rule.DeleteAllForUser, ruleOf("d", 3))
	holds(t, s, "[d[3] x[1]/bob]")
	if got := stagedNames(t, s); len(got) != 3 {
		t.Error(got)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet()) // what is staged survives
	got, err := alice.commit(t, s, "g1")
	if err != nil || answered(got) != "created a b c, ignored , deleted d" {
		t.Errorf("%s %v", answered(got), err)
	}
	holds(t, s, "[a[1] b[2] c[2] x[1]/bob]")
	if got := stagedNames(t, s); len(got) != 0 {
		t.Error(got)
	}
	all := audited(t, s)
	if last := all[len(all)-1]; last.Action != registry.ActionRulesCommitted || !strings.Contains(string(last.After), `"generation":"g1"`) {
		t.Errorf("%+v %s", last, last.After)
	}
	// A generation of nothing removes everything.
	alice.stage(t, s, "g2")
	if got, err := alice.commit(t, s, "g2"); err != nil || answered(got) != "created , ignored , deleted a b c" {
		t.Errorf("%s %v", answered(got), err)
	}
	holds(t, s, "[x[1]/bob]")
}

func testCommitAgain(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	bob.post(t, s, "", ruleOf("x", 1))
	alice.post(t, s, "", ruleOf("a", 1))
	alice.stage(t, s, "g1", ruleOf("b", 2), ruleOf("x", 2))
	first, err := alice.commit(t, s, "g1")
	if err != nil {
		t.Fatal(err)
	}
	rev, rows := s.Snapshot().Revision, len(audited(t, s))
	for range 3 {
		again, err := alice.commit(t, s, "g1")
		if err != nil || answered(again) != answered(first) || answered(again) != "created b, ignored x/bob, deleted a" {
			t.Errorf("%s %v", answered(again), err)
		}
	}
	if s.Snapshot().Revision != rev || len(audited(t, s)) != rows {
		t.Error("committing again changed something")
	}
	// Also when the rules have changed since, and after a restart.
	alice.post(t, s, "", ruleOf("later", 1))
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet())
	if again, err := alice.commit(t, s, "g1"); err != nil || answered(again) != answered(first) {
		t.Errorf("%s %v", answered(again), err)
	}
	holds(t, s, "[b[2] later[1] x[1]/bob]")
	_, err = alice.chunk(t, s, "g1", ruleOf("c", 3))
	refused(t, err, "generation_superseded")
	// Starting another one takes nothing from the answer; committing it does.
	alice.stage(t, s, "g2", ruleOf("c", 3))
	if again, err := alice.commit(t, s, "g1"); err != nil || answered(again) != answered(first) {
		t.Errorf("%s %v", answered(again), err)
	}
	if _, err := alice.commit(t, s, "g2"); err != nil {
		t.Fatal(err)
	}
	_, err = alice.commit(t, s, "g1")
	refused(t, err, "generation_superseded")
	holds(t, s, "[c[3] x[1]/bob]")
}

func testSuperseded(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	_, err := alice.commit(t, s, "never")
	if e := refused(t, err, "generation_superseded"); e.Kind.HTTPStatus() != 409 {
		t.Error(e.Kind)
	}
	_, err = alice.commit(t, s, "")
	refused(t, err, "bad_rules")
	alice.stage(t, s, "z-older", ruleOf("a", 1))
	alice.stage(t, s, "a-newer", ruleOf("b", 2)) // newer by arrival, whatever its name
	if got := stagedNames(t, s); !slices.Equal(got, []string{"a-newer:b"}) {
		t.Error(got)
	}
	all := audited(t, s)
	if last := all[len(all)-1]; last.Action != registry.ActionRulesStaged || !strings.Contains(string(last.After), `"dropped":["z-older"]`) {
		t.Errorf("%+v %s", last, last.After)
	}
	_, err = alice.commit(t, s, "z-older")
	refused(t, err, "generation_superseded")
	_, err = alice.chunk(t, s, "z-older", ruleOf("a", 1))
	refused(t, err, "generation_superseded")
	if _, err := alice.commit(t, s, "a-newer"); err != nil {
		t.Fatal(err)
	}
	holds(t, s, "[b[2]]")
}

func testTooOld(t *testing.T, b Backend) {
	open := b.New(t)
	c := &clock{at: noon}
	s := service(t, open, newFleet(), func(o *registry.Options) { o.Clock = c.now })
	alice.stage(t, s, "g1", ruleOf("a", 1))
	bob.stage(t, s, "g1", ruleOf("b", 1))
	c.advance(registry.GenerationLife - time.Microsecond)
	alice.stage(t, s, "g1", ruleOf("a2", 1))
	bob.stage(t, s, "g2", ruleOf("b", 2)) // just begun
	c.advance(time.Microsecond)
	if got := stagedNames(t, s); !slices.Equal(got, []string{"g2:b"}) {
		t.Errorf("what is too old is listed: %v", got)
	}
	_, err := alice.commit(t, s, "g1")
	refused(t, err, "generation_superseded")
	_, err = alice.chunk(t, s, "g1", ruleOf("a3", 1))
	refused(t, err, "generation_superseded")
	holds(t, s, "[]")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet(), func(o *registry.Options) { o.Clock, o.SweepInterval = c.now, 5*time.Millisecond })
	eventually(t, "it is dropped", func() bool {
		all := audited(t, s)
		return all[len(all)-1].Action == registry.ActionGenerationsDropped
	})
	all := audited(t, s)
	if last := all[len(all)-1]; last.Actor != registry.Muster() || !strings.Contains(string(last.After), `"count":1`) ||
		!strings.Contains(string(last.After), alice.creator.Subject) {
		t.Errorf("%+v %s", last, last.After)
	}
	if _, err := bob.commit(t, s, "g2"); err != nil {
		t.Error(err)
	}
	alice.stage(t, s, "g3", ruleOf("a", 4))
	if _, err := alice.commit(t, s, "g3"); err != nil {
		t.Error(err)
	}
	holds(t, s, "[a[4] b[2]/bob]")
}

func testRefusedChunk(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.stage(t, s, "g1", ruleOf("a", 1), ruleOf("b", 1))
	_, err := alice.chunk(t, s, "g1", ruleOf("c", 1), ruleOf("", 1))
	refused(t, err, "bad_rules")
	_, err = alice.chunk(t, s, "g1", ruleOf("c", 1), ruleOf("a", 2), ruleOf("b", 2))
	e := refused(t, err, "bad_rules")
	if len(e.Violations) != 2 || e.Violations[0].Pointer != "/rules/1/name" || !strings.Contains(e.Violations[1].Detail, `"b"`) {
		t.Errorf("%+v", e.Violations)
	}
	in := alice.request(rule.Ignore, ruleOf("c", 1))
	in.Generation = "g1"
	_, err = s.PostRules(t.Context(), alice.actor, in)
	refused(t, err, "bad_rules")
	if got := stagedNames(t, s); !slices.Equal(got, []string{"g1:a", "g1:b"}) {
		t.Errorf("a refused chunk left %v", got)
	}
	// A chunk whose answer was lost is sent again.
	if got := answered(alice.stage(t, s, "g1", ruleOf("b", 1), ruleOf("c", 1))); got != "created b c, ignored , deleted " {
		t.Error(got)
	}
	// A refused first chunk starts nothing and drops nothing.
	_, err = alice.chunk(t, s, "g2", ruleOf("", 1))
	refused(t, err, "bad_rules")
	if _, err := alice.commit(t, s, "g1"); err != nil {
		t.Fatal(err)
	}
	holds(t, s, "[a[1] b[1] c[1]]")
}

func testGenerationsApart(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.stage(t, s, "same", ruleOf("a", 1))
	bob.stage(t, s, "same", ruleOf("b", 1), ruleOf("a", 2))
	bob.stage(t, s, "other", ruleOf("b", 2))
	_, err := bob.commit(t, s, "same")
	refused(t, err, "generation_superseded")
	if _, err := alice.commit(t, s, "same"); err != nil {
		t.Fatal(err)
	}
	_, err = alice.commit(t, s, "other")
	refused(t, err, "generation_superseded")
	holds(t, s, "[a[1]]")
}

func testCommitConflict(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	alice.stage(t, s, "g1", ruleOf("a", 1), ruleOf("b", 1))
	bob.post(t, s, "", ruleOf("a", 9)) // after it was staged, before the commit
	got, err := alice.commit(t, s, "g1")
	if err != nil || answered(got) != "created b, ignored a/bob, deleted " {
		t.Errorf("%s %v", answered(got), err)
	}
	holds(t, s, "[a[9]/bob b[1]]")
	all := audited(t, s)
	if row := string(all[len(all)-1].After); !strings.Contains(row, bob.creator.Subject) || !strings.Contains(row, alice.creator.Subject) {
		t.Errorf("without both creators: %s", row)
	}
}

func testModel(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	if snap := s.Snapshot(); snap.Model == nil || snap.ModelRevision != 0 || snap.Rules == nil {
		t.Fatalf("%+v", snap)
	}
	bad := sampleModel()
	bad.Entities[1].Title, bad.Relationships[0].To, bad.Entities[0].Properties[1].ID = "Benchmark", "Nowhere", 5303
	_, err := s.ReplaceModel(t.Context(), alice.actor, bad, true)
	// Part is gone by its new title, so eight more relationships lead nowhere.
	if e := refused(t, err, "bad_model"); len(e.Violations) != 2+9 {
		t.Errorf("%d: %+v", len(e.Violations), e.Violations)
	}
	got, err := s.ReplaceModel(t.Context(), alice.actor, sampleModel(), false)
	if err != nil || got.Revision != s.Snapshot().Revision || got.Orphaned.Count != 0 {
		t.Fatalf("%+v %v", got, err)
	}
	if again, err := s.ReplaceModel(t.Context(), alice.actor, sampleModel(), false); err != nil || again.Revision != got.Revision ||
		len(audited(t, s)) != 1 {
		t.Errorf("the same again is no change: %+v %v", again, err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet())
	if snap := s.Snapshot(); !snap.Model.Equal(sampleModel()) || snap.ModelRevision != got.Revision {
		t.Errorf("%+v", snap.Model)
	}
	if _, err := s.ReplaceModel(t.Context(), alice.actor, &rule.Model{}, false); err != nil || len(s.Snapshot().Model.Entities) != 0 {
		t.Error(err)
	}
	if all := audited(t, s); all[1].Action != registry.ActionModelReplaced || !strings.Contains(string(all[1].Before), `"entities":2`) {
		t.Errorf("%+v", all)
	}
}

func testModelOrphans(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	if _, err := s.ReplaceModel(t.Context(), alice.actor, sampleModel(), false); err != nil {
		t.Fatal(err)
	}
	conditional := ruleOf("c", 3)
	conditional.Conditions = []rule.Condition{{Property: 5296, Value: "x"}}
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 2), conditional)
	m := sampleModel()
	m.Relationships = m.Relationships[1:]
	m.Entities[0].Properties = m.Entities[0].Properties[:1]
	got, err := s.ReplaceModel(t.Context(), alice.actor, m, false)
	if err != nil || got.Orphaned.Count != 2 || fmt.Sprint(got.Orphaned.IDs) != "[property 5296 relationship 1]" ||
		got.Orphaned.Rules[0].Name != "a" || got.Orphaned.Rules[1].Name != "c" {
		t.Errorf("%+v %v", got, err)
	}
	holds(t, s, "[a[1] b[2] c[3]]")
}

func testRebinds(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	replace := func(change func(m *rule.Model), rebind bool) error {
		m := sampleModel()
		change(m)
		_, err := s.ReplaceModel(t.Context(), alice.actor, m, rebind)
		return err
	}
	unused := func(m *rule.Model) {
		m.Relationships[5].Alias, m.Entities[0].Properties[1].Title, m.Relationships[0].Name = "OTHER", "Other", "only for people"
	}
	for _, change := range []func(m *rule.Model){func(*rule.Model) {}, unused, func(*rule.Model) {}} {
		if err := replace(change, false); err != nil {
			t.Fatal("what no rule uses:", err)
		}
	}
	alice.post(t, s, "", ruleOf("a", 1), ruleOf("b", 2))
	used := map[string]func(m *rule.Model){
		"an entity's title":  func(m *rule.Model) { m.Entities[0].Title = "Salary"; m.Relationships = nil },
		"a property's title": func(m *rule.Model) { m.Entities[0].Properties[0].Title = "Salary" },
		"a property's entity": func(m *rule.Model) {
			m.Entities[0].Properties, m.Entities[1].Properties = nil, m.Entities[0].Properties
		},
		"an alias": func(m *rule.Model) { m.Relationships[0].Alias = "EARNS" },
		"an end":   func(m *rule.Model) { m.Relationships[0].To = "Benchmark" },
	}
	for name, change := range used {
		err := replace(change, false)
		e := refused(t, err, "rebinds_rules")
		if e.Kind.HTTPStatus() != 409 || len(e.Violations) == 0 || !strings.Contains(e.Violations[0].Detail, `"a"`) {
			t.Errorf("%s: %+v", name, e)
		}
	}
	// Leaving it out first and giving it back with another title is the same.
	if err := replace(func(m *rule.Model) { m.Relationships = m.Relationships[1:] }, false); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet())
	refused(t, replace(used["an alias"], false), "rebinds_rules")
	if err := replace(func(*rule.Model) {}, false); err != nil {
		t.Error("given back as it was:", err)
	}
	for name, change := range used {
		if err := replace(change, true); err != nil {
			t.Errorf("%s with rebind: %v", name, err)
		}
		if err := replace(func(*rule.Model) {}, true); err != nil {
			t.Error(err)
		}
	}
	alice.post(t, s, rule.DeleteAllForUser)
	if err := replace(used["an alias"], false); err != nil {
		t.Error("no rule uses it any more:", err)
	}
}

func testRebindDropsStaged(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	m := sampleModel()
	if _, err := s.ReplaceModel(t.Context(), alice.actor, m, false); err != nil {
		t.Fatal(err)
	}
	alice.stage(t, s, "g1", ruleOf("a", 1))
	more := sampleModel()
	more.Entities = append(more.Entities, rule.Entity{ID: 9, Title: "New"})
	if _, err := s.ReplaceModel(t.Context(), alice.actor, more, false); err != nil || len(stagedNames(t, s)) != 1 {
		t.Fatal("a model that only grows takes nothing away:", err)
	}
	other := sampleModel()
	other.Relationships[0].Alias = "EARNS"
	if _, err := s.ReplaceModel(t.Context(), alice.actor, other, false); err != nil {
		t.Fatal(err)
	}
	_, err := alice.commit(t, s, "g1")
	refused(t, err, "generation_superseded")
	if n := len(stagedNames(t, s)); n != 0 {
		t.Errorf("%d staged for another meaning", n)
	}
}
