package rules_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var smallModel = &rule.Model{Entities: []rule.Entity{{ID: 1, Title: "A", Properties: []rule.Property{{ID: 1, Title: "p"}}}}}

func forUser(user string, functions ...rule.ID) rule.Rule {
	return rule.Rule{ID: int64(len(user)), Name: user, Active: true, Users: []string{user}, Entities: []rule.EntityGrant{{ID: 1}}, Functions: functions}
}

func TestProgramsAreKept(t *testing.T) {
	e := rules.New(rules.Config{})
	set := rule.SetOf(forUser("alice", 1), forUser("bob", 2))
	snapshot := registry.NewSnapshot("", 1, time.Time{}, nil).WithRules(smallModel, set)
	alice := rule.SubjectsOf("Alice", "", []string{"/x", "y"})
	program := func(s *registry.Snapshot, sub rule.Subjects) *rules.Program {
		of, p := e.Program(func() *registry.Snapshot { return s }, sub)
		if of != s {
			t.Error("the program of another snapshot")
		}
		return p
	}
	first := program(snapshot, alice)
	if !first.Function(1) || first.Function(2) || fmt.Sprint(first.Functions()) != "[1]" || first.Rules() != 1 || first.Empty() {
		t.Error("the rules of somebody else")
	}
	if program(snapshot, rule.SubjectsOf("ALICE", "", []string{"/y", "/x"})) != first {
		t.Error("the same subjects in another order are compiled again")
	}
	if program(snapshot, rule.SubjectsOf("alice", "", []string{"y"})) != first {
		t.Error("compiled again for a group that no rule names")
	}
	if program(snapshot, rule.SubjectsOf("bob", "", []string{"y"})) == first {
		t.Error("other subjects share a program")
	}
	// A change of something else leaves the rules, and the program, alone.
	later := registry.NewSnapshot("", 2, time.Time{}, nil).WithRules(smallModel, set)
	if program(later, alice) != first {
		t.Error("compiled again although no rule changed")
	}
	changed := registry.NewSnapshot("", 3, time.Time{}, nil).WithRules(smallModel, rule.SetOf(forUser("alice", 3)))
	next := program(changed, alice)
	if next == first || !next.Function(3) || next.Function(1) {
		t.Error("a changed rule is not followed")
	}
	// A request that began before gets its own rules, and does not undo the change.
	if old := program(snapshot, alice); !old.Function(1) || old.Function(3) {
		t.Error("an older snapshot gets newer rules")
	}
	if program(changed, alice) != next {
		t.Error("an older snapshot took the newer program's place")
	}
	other := changed.WithRules(&rule.Model{}, changed.Rules)
	if p := program(other, alice); p == next {
		t.Error("a changed model is not followed")
	}
}

func TestProgramsAreBounded(t *testing.T) {
	e := rules.New(rules.Config{MaxPrograms: 5})
	var one []rule.Rule
	for i := range 20 {
		r := forUser(fmt.Sprint("user", i))
		r.ID = int64(i + 1)
		one = append(one, r)
	}
	src := rules.Source{Model: smallModel, Rules: rule.SetOf(one...), Revision: 1}
	for i := range 20 {
		e.ProgramOf(src, rule.SubjectsOf(fmt.Sprint("user", i), "", nil))
		if e.Len() > 5 {
			t.Fatalf("%d programs are kept", e.Len())
		}
	}
	var many []rule.Rule
	for i := range 40 {
		r := forUser(fmt.Sprint("user", i%4))
		r.ID, r.Name = int64(i+1), fmt.Sprint(i)
		many = append(many, r)
	}
	e = rules.New(rules.Config{MaxRules: 25})
	src.Rules = rule.SetOf(many...)
	for i := range 4 { // ten rules each
		e.ProgramOf(src, rule.SubjectsOf(fmt.Sprint("user", i), "", nil))
	}
	if e.Len() != 2 {
		t.Errorf("%d programs of ten rules are kept, and 25 rules are the most", e.Len())
	}
	last := e.ProgramOf(src, rule.SubjectsOf("user3", "", nil))
	if e.ProgramOf(src, rule.SubjectsOf("user2", "", nil)); e.ProgramOf(src, rule.SubjectsOf("user3", "", nil)) != last {
		t.Error("what was used last was dropped")
	}
}

// TestOneMakesAProgramAndTheOthersWait lets many ask at once, while the rules
// change under them.
func TestOneMakesAProgramAndTheOthersWait(t *testing.T) {
	e := rules.New(rules.Config{MaxPrograms: 3})
	var sources []rules.Source
	for i := range 5 {
		sources = append(sources, rules.Source{Model: smallModel, Rules: rule.SetOf(forUser("alice", rule.ID(i)), forUser("bob", rule.ID(10+i))), Revision: int64(i)})
	}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for i := range 200 {
				k := i / 40
				for name, id := range map[string]rule.ID{"alice": rule.ID(k), "bob": rule.ID(10 + k)} {
					if p := e.ProgramOf(sources[k], rule.SubjectsOf(name, "", nil)); !p.Function(id) {
						t.Errorf("%s got another program", name)
					}
				}
			}
		})
	}
	wg.Wait()
	same := rules.New(rules.Config{})
	got := make([]*rules.Program, 16)
	for i := range got {
		wg.Go(func() { got[i] = same.ProgramOf(sources[0], rule.SubjectsOf("alice", "", nil)) })
	}
	wg.Wait()
	for _, p := range got {
		if p != got[0] {
			t.Error("compiled more than once")
		}
	}
}

func TestGroupsAndClients(t *testing.T) {
	e := rules.New(rules.Config{})
	group, client := forUser("g", 1), forUser("cc", 2)
	group.Users, group.Groups = nil, []string{"a/b"}
	client.Users, client.Clients = nil, []string{"service-account-loader"}
	src := rules.Source{Model: smallModel, Rules: rule.SetOf(group, client)}
	for _, x := range []struct {
		sub      rule.Subjects
		one, two bool
	}{
		{rule.SubjectsOf("alice", "loader", []string{"/a/b"}), true, false},
		{rule.SubjectsOf("alice", "loader", []string{"/b"}), false, false},
		{rule.SubjectsOf("service-account-loader", "loader", nil), false, true},
		{rule.SubjectsOf("service-account-loader", "other", nil), false, false},
	} {
		if p := e.ProgramOf(src, x.sub); p.Function(1) != x.one || p.Function(2) != x.two {
			t.Errorf("%+v: %v", x.sub, p.Functions())
		}
	}
}
