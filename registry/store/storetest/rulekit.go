package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// poster is somebody who posts rules.
type poster struct {
	actor   registry.Actor
	creator rule.Creator
}

func posterOf(name string) poster {
	c := rule.Creator{Issuer: "https://issuer", Subject: "sub-" + name}
	return poster{registry.Actor{Issuer: c.Issuer, Subject: c.Subject, Username: name, RequestID: "req"}, c}
}

var alice, bob = posterOf("alice"), posterOf("bob")

// request is a post of rules by p.
func (p poster) request(strategy rule.Strategy, rules ...rule.Rule) registry.RulePost {
	return registry.RulePost{Creator: p.creator, CreatedBy: p.actor.Username, Strategy: strategy, Rules: rules}
}

// post must succeed.
func (p poster) post(t testing.TB, s *registry.Service, strategy rule.Strategy, rules ...rule.Rule) registry.RulePosted {
	t.Helper()
	got, err := s.PostRules(t.Context(), p.actor, p.request(strategy, rules...))
	if err != nil {
		t.Fatalf("post: %v", err)
	}
	return got
}

// stage must succeed.
func (p poster) stage(t testing.TB, s *registry.Service, generation string, rules ...rule.Rule) registry.RulePosted {
	t.Helper()
	got, err := p.chunk(t, s, generation, rules...)
	if err != nil {
		t.Fatalf("stage: %v", err)
	}
	return got
}

func (p poster) chunk(t testing.TB, s *registry.Service, generation string, rules ...rule.Rule) (registry.RulePosted, error) {
	t.Helper()
	in := p.request(rule.DeleteAllForUser, rules...)
	in.Generation = generation
	return s.PostRules(t.Context(), p.actor, in)
}

func (p poster) commit(t testing.TB, s *registry.Service, generation string) (registry.RulePosted, error) {
	t.Helper()
	return s.CommitRules(t.Context(), p.actor, registry.RuleCommit{
		Creator: p.creator, CreatedBy: p.actor.Username, Generation: generation,
	})
}

// ruleOf is a rule whose version can be told apart.
func ruleOf(name string, version int) rule.Rule {
	return rule.Rule{
		Name: name, Active: true, Groups: []string{"/staff"}, Relationships: []rule.ID{rule.ID(version)},
		Entities: []rule.EntityGrant{{ID: 414, Properties: []rule.ID{5303}}},
	}
}

// named writes names with their owners: "a b/bob" for a of alice's and b of bob's.
func named(list []registry.Named) string {
	all := make([]string, len(list))
	for i, n := range list {
		if all[i] = n.Name; n.CreatedBy.Username != "alice" {
			all[i] += "/" + n.CreatedBy.Username
		}
	}
	return strings.Join(all, " ")
}

func answered(a registry.RulePosted) string {
	return fmt.Sprintf("created %s, ignored %s, deleted %s", named(a.Created), named(a.Ignored), named(a.Deleted))
}

// rulesOf writes all rules of a snapshot by name: "[a[1] b[2]/bob]" for
// version 1 of a by alice and version 2 of b by bob.
func rulesOf(s *registry.Snapshot) string {
	var all []string
	for r := range s.Rules.All(0) {
		text := fmt.Sprintf("%s[%d]", r.Name, r.Relationships[0])
		if r.CreatedBy != "alice" {
			text += "/" + r.CreatedBy
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

// holds checks the rules of the snapshot.
func holds(t testing.TB, s *registry.Service, want string) {
	t.Helper()
	if got := rulesOf(s.Snapshot()); got != want {
		t.Fatalf("the rules are %s, not %s", got, want)
	}
}

// stagedNames are the names of all staged rules.
func stagedNames(t testing.TB, s *registry.Service) (names []string) {
	t.Helper()
	var place registry.StagedPlace
	for {
		page, next, err := s.StagedRules(t.Context(), rule.Filter{}, place, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range page {
			names = append(names, r.Generation+":"+r.Rule.Name)
		}
		if next == nil {
			return names
		}
		place = *next
	}
}

// sampleModel knows what ruleOf uses, for versions 1 to 9.
func sampleModel() *rule.Model {
	m := &rule.Model{Entities: []rule.Entity{
		{ID: 414, Title: "Benchmark", Properties: []rule.Property{{ID: 5303, Title: "Benchmark_ID"}, {ID: 5296, Title: "Title"}}},
		{ID: 500, Title: "Part"},
	}}
	for n := range 9 {
		m.Relationships = append(m.Relationships, rule.Relationship{
			ID: rule.ID(n + 1), From: "Benchmark", To: "Part", Name: "n", Alias: fmt.Sprint("TYPE_", n+1),
		})
	}
	return m
}
