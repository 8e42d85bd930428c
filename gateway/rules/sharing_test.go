package rules_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

func forGroup(id int64, group string, functions ...rule.ID) rule.Rule {
	return rule.Rule{ID: id, Name: fmt.Sprint("rule", id), Active: true, Groups: []string{group}, Entities: []rule.EntityGrant{{ID: 1}}, Functions: functions}
}

// TestPrincipalsShareWhatRulesSayOfThem: only the subjects that rules name tell
// principals apart, until a rule names another one.
func TestPrincipalsShareWhatRulesSayOfThem(t *testing.T) {
	e := rules.New(rules.Config{})
	set := rule.SetOf(forGroup(1, "a", 1), forGroup(2, "b", 2))
	src := rules.Source{Model: smallModel, Rules: set, Revision: 1}
	alice := rule.SubjectsOf("alice", "", []string{"/a", "x"})
	bob := rule.SubjectsOf("bob", "", []string{"y", "a"})
	both := rule.SubjectsOf("alice", "", []string{"b", "a"})
	p := e.ProgramOf(src, alice)
	if e.ProgramOf(src, bob) != p || !p.Function(1) || p.Function(2) {
		t.Error("compiled twice for one group")
	}
	if q := e.ProgramOf(src, both); q == p || !q.Function(1) || !q.Function(2) {
		t.Error("two groups are taken for one")
	}
	if nobody := e.ProgramOf(src, rule.SubjectsOf("carol", "", nil)); !nobody.Empty() {
		t.Error("somebody whom no rule names sees something")
	}
	src.Revision, src.Rules = 2, set.With([]rule.Rule{forGroup(3, "y", 3)}, nil)
	if q := e.ProgramOf(src, bob); q == p || !q.Function(3) || !q.Function(1) {
		t.Error("a rule that names another of the groups is not followed")
	}
	if e.ProgramOf(src, alice) != p {
		t.Error("compiled again although none of the rules changed")
	}
}

// TestOtherRulesChangeNoProgram: a program outlives changes of rules that are not
// among those it was made of, and none of the others.
func TestOtherRulesChangeNoProgram(t *testing.T) {
	e := rules.New(rules.Config{})
	src := rules.Source{Model: smallModel, Rules: rule.SetOf(forGroup(1, "a", 1), forGroup(2, "b", 2)), Revision: 1}
	a := rule.SubjectsOf("", "", []string{"a"})
	p := e.ProgramOf(src, a)
	next := func(changed []rule.Rule, deleted ...int64) {
		src.Revision++
		src.Rules = src.Rules.With(changed, deleted)
	}
	next([]rule.Rule{forGroup(3, "b", 3)}, 2)
	if e.ProgramOf(src, a) != p {
		t.Error("compiled again for a change of another group's rules")
	}
	next([]rule.Rule{forGroup(1, "a", 4)}) // the same id, as PUT leaves it
	q := e.ProgramOf(src, a)
	if q == p || q.Function(1) || !q.Function(4) {
		t.Error("a rule that was put is not followed")
	}
	next([]rule.Rule{forGroup(9, "a", 9)})
	if p = e.ProgramOf(src, a); !p.Function(9) || !p.Function(4) {
		t.Error("a rule more is not followed")
	}
	next(nil, 1)
	if q = e.ProgramOf(src, a); q == p || q.Function(4) {
		t.Error("a rule that was deleted still grants")
	}
	off := forGroup(9, "a", 9)
	off.Active = false
	next([]rule.Rule{off})
	if !e.ProgramOf(src, a).Empty() {
		t.Error("a rule that was switched off still grants")
	}
	src.Model = &rule.Model{Entities: smallModel.Entities}
	next([]rule.Rule{forGroup(9, "a", 9)})
	before := e.ProgramOf(src, a)
	src.Model = &rule.Model{}
	if e.ProgramOf(src, a) == before {
		t.Error("a change of the model is not followed")
	}
}

// TestRulesThatChangeAllTheTime: whoever asks while the rules change gets a
// program of the snapshot it is told, which is as new as when it asked.
func TestRulesThatChangeAllTheTime(t *testing.T) {
	e := rules.New(rules.Config{})
	var newest atomic.Pointer[registry.Snapshot]
	put := func(rev int) {
		set := rule.SetOf(forGroup(1, "a", rule.ID(rev)), forGroup(2, "b", rule.ID(1_000_000+rev)))
		newest.Store(registry.NewSnapshot("", registry.Revision(rev), time.Time{}, nil).WithRules(smallModel, set))
	}
	put(1)
	var readers sync.WaitGroup
	stop := make(chan struct{})
	for k := range 6 {
		group, plus := "a", rule.ID(0)
		if k%2 == 1 {
			group, plus = "b", 1_000_000
		}
		sub := rule.SubjectsOf(fmt.Sprint("user", k), "", []string{group})
		readers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				least := newest.Load().Revision
				s, p := e.Program(newest.Load, sub)
				if s.Revision < least {
					t.Errorf("revision %d, and it was %d before", s.Revision, least)
				}
				if got := p.Functions(); len(got) != 1 || got[0] != rule.ID(s.Revision)+plus {
					t.Errorf("at revision %d the program grants %v", s.Revision, got)
				}
			}
		})
	}
	for rev := 2; rev < 3_000; rev++ {
		put(rev)
	}
	close(stop)
	readers.Wait()
	if s, p := e.Program(newest.Load, rule.SubjectsOf("", "", []string{"a"})); s.Revision != 2_999 || !p.Function(2_999) {
		t.Error("the last change is not followed")
	}
}

// TestProgramsAreBoundedInBytes: rules that say much are kept for fewer.
func TestProgramsAreBoundedInBytes(t *testing.T) {
	var all []rule.Rule
	for i := range 20 {
		r := forGroup(int64(i+1), fmt.Sprint("g", i))
		for v := range 1_000 {
			r.Conditions = append(r.Conditions, rule.Condition{Property: 1, Value: fmt.Sprint("value of ", i, v)})
		}
		all = append(all, r)
	}
	src := rules.Source{Model: smallModel, Rules: rule.SetOf(all...)}
	e := rules.New(rules.Config{MaxBytes: 500_000})
	for i := range 20 {
		p := e.ProgramOf(src, rule.SubjectsOf("", "", []string{fmt.Sprint("g", i)}))
		if p.Size() < 20_000 {
			t.Fatalf("%d bytes for a thousand values", p.Size())
		}
	}
	if n := e.Len(); n < 2 || n > 15 {
		t.Errorf("%d programs are kept", n)
	}
	small := rules.New(rules.Config{MaxBytes: 1})
	sub := rule.SubjectsOf("", "", []string{"g1"})
	if p := small.ProgramOf(src, sub); small.ProgramOf(src, sub) != p {
		t.Error("a program larger than the bound is not kept alone")
	}
}

// TestNobodyWaitsForWhatFailed: a program that cannot be made is an error of
// whoever makes it, each time anew.
func TestNobodyWaitsForWhatFailed(t *testing.T) {
	e := rules.New(rules.Config{})
	src := rules.Source{Rules: rule.SetOf(forGroup(1, "a"))} // no model
	fails := func() (failed bool) {
		defer func() { failed = recover() != nil }()
		e.ProgramOf(src, rule.SubjectsOf("", "", []string{"a"}))
		return false
	}
	for range 2 {
		if !fails() || e.Len() != 0 {
			t.Error("what failed is kept")
		}
	}
}
