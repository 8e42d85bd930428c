package storetest

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// The creators that ScribbleRules works for: some that replace all their rules,
// and one that writes single rules.
const (
	crashers = 3
	single   = "crash-single"
	singles  = 5
)

func crasher(n int) poster { return posterOf(fmt.Sprint("crash-", n)) }

func resourceOf(p poster) string { return "rules:" + p.creator.Subject }

// ScribbleRules makes one random change to rules, generations or the model, some
// of them of thousands of rules. It returns the action and resource that the audit
// log must now hold.
func ScribbleRules(ctx context.Context, s *registry.Service, r *rand.Rand) (action, resource string, err error) {
	p := crasher(r.IntN(crashers))
	switch r.IntN(9) {
	case 0, 1, 2:
		_, err = s.PostRules(ctx, p.actor, p.request(rule.DeleteAllForUser, crashRules(p, 0, r)...))
		return registry.ActionRulesPosted, resourceOf(p), err
	case 3, 4:
		return scribbleStage(ctx, s, p, r)
	case 5:
		staged, _, err := s.StagedRules(ctx, rule.Filter{Creator: &p.creator}, registry.StagedPlace{}, 1)
		if err != nil {
			return registry.ActionRulesCommitted, resourceOf(p), err
		}
		if len(staged) == 0 {
			return scribbleStage(ctx, s, p, r)
		}
		_, err = s.CommitRules(ctx, p.actor, registry.RuleCommit{
			Creator: p.creator, CreatedBy: p.actor.Username, Generation: staged[0].Generation,
		})
		return registry.ActionRulesCommitted, resourceOf(p), err
	case 6:
		n, err := s.DeleteRulesOf(ctx, p.actor, p.creator)
		if n == 0 && err == nil {
			return scribbleStage(ctx, s, p, r)
		}
		return registry.ActionRulesDeleted, resourceOf(p), err
	case 7:
		m := sampleModel()
		m.Entities = append(m.Entities, rule.Entity{ID: rule.ID(1000 + r.Int64N(1e9)), Title: "scribbled"})
		_, err = s.ReplaceModel(ctx, p.actor, m, true)
		return registry.ActionModelReplaced, "model", err
	default:
		return scribbleSingle(ctx, s, r)
	}
}

// crashRules are rules of one version, with names of their own in each chunk.
func crashRules(p poster, chunk int, r *rand.Rand) []rule.Rule {
	n := r.IntN(100)
	if r.IntN(8) == 0 {
		n = r.IntN(3000)
	}
	version := 1 + r.IntN(1_000_000)
	all := make([]rule.Rule, n)
	for i := range all {
		all[i] = ruleOf(fmt.Sprintf("%s/%d/%04d", p.actor.Username, chunk, i), version)
	}
	return all
}

// scribbleStage adds a chunk to the generation at hand, or starts one.
func scribbleStage(ctx context.Context, s *registry.Service, p poster, r *rand.Rand) (action, resource string, err error) {
	generation, chunk, version := fmt.Sprint("g", r.Uint64()), 0, rule.ID(0)
	staged, _, err := s.StagedRules(ctx, rule.Filter{Creator: &p.creator}, registry.StagedPlace{}, 10_000)
	if err != nil {
		return registry.ActionRulesStaged, resourceOf(p), err
	}
	if len(staged) > 0 && len(staged) < 5000 && r.IntN(3) > 0 {
		last := staged[len(staged)-1]
		generation, version = last.Generation, last.Rule.Relationships[0]
		chunk = 1 + strings.Count(last.Rule.Name, "+") + int(r.Uint32()>>1)
	}
	rules := crashRules(p, chunk, r)
	for i := range rules {
		if version != 0 {
			rules[i].Relationships[0] = version
		}
	}
	in := p.request(rule.DeleteAllForUser, rules...)
	in.Generation = generation
	_, err = s.PostRules(ctx, p.actor, in)
	return registry.ActionRulesStaged, resourceOf(p), err
}

// scribbleSingle makes, edits or removes one rule.
func scribbleSingle(ctx context.Context, s *registry.Service, r *rand.Rand) (action, resource string, err error) {
	p := posterOf(single)
	name := singleName(r.IntN(singles))
	old, there := s.Snapshot().Rules.ByName(name)
	resource = fmt.Sprint("rule:", old.ID)
	edited := ruleOf(name, 1+r.IntN(1_000_000))
	switch n := r.IntN(3); {
	case !there || n == 0:
		_, err = s.PostRules(ctx, p.actor, p.request(rule.DeleteOnConflict, edited))
		return registry.ActionRulesPosted, resourceOf(p), err
	case n == 1:
		edited.Relationships = append(edited.Relationships, old.Relationships[0]+1) // never the same
		_, err = s.PutRule(ctx, p.actor, old.ID, edited, "")
		return registry.ActionRuleUpdated, resource, err
	default:
		return registry.ActionRuleDeleted, resource, s.DeleteRule(ctx, p.actor, old.ID, "")
	}
}

func singleName(n int) string { return fmt.Sprint(single, "/", n) }

func digestOf(names ...string) string {
	sum := sha256.New()
	for _, name := range names {
		sum.Write([]byte(name + "\x00"))
	}
	return hex.EncodeToString(sum.Sum(nil))
}

// ruleLedger is what the audit log tells of rules.
type ruleLedger struct {
	digests map[string]string // of the names of all rules, by creator's resource; empty for none
	staged  map[string]stagedLedger
	singles map[string]bool
}

// stagedLedger is what is staged of one creator.
type stagedLedger struct {
	generation string
	count      int
}

type ruleRow struct {
	Name       string   `json:"name"`
	Generation string   `json:"generation"`
	Rebound    []string `json:"rebound"`
	Created    struct {
		Count  int    `json:"count"`
		SHA256 string `json:"sha256"`
	} `json:"created"`
}

// replay takes in one row of the log.
func (l *ruleLedger) replay(t testing.TB, e registry.AuditEntry) {
	t.Helper()
	if l.digests == nil {
		l.digests, l.staged, l.singles = map[string]string{}, map[string]stagedLedger{}, map[string]bool{}
	}
	row := parseRuleRow(t, e.After)
	isSingle := e.Resource == resourceOf(posterOf(single))
	switch e.Action {
	case registry.ActionRulesPosted, registry.ActionRulesCommitted:
		for n := range singles {
			if isSingle && row.Created.SHA256 == digestOf(singleName(n)) {
				l.singles[singleName(n)] = true
			}
		}
		if !isSingle {
			l.digests[e.Resource] = row.Created.SHA256
		}
		if e.Action == registry.ActionRulesCommitted {
			delete(l.staged, e.Resource)
		}
	case registry.ActionRulesDeleted:
		delete(l.digests, e.Resource)
	case registry.ActionRulesStaged:
		g := l.staged[e.Resource]
		if g.generation != row.Generation {
			g = stagedLedger{generation: row.Generation}
		}
		g.count += row.Created.Count
		l.staged[e.Resource] = g
	case registry.ActionRuleDeleted:
		delete(l.singles, parseRuleRow(t, e.Before).Name)
	}
}

func parseRuleRow(t testing.TB, data []byte) (row ruleRow) {
	t.Helper()
	if data == nil {
		return row
	}
	if err := json.Unmarshal(data, &row); err != nil {
		t.Fatalf("a row of the audit log: %v", err)
	}
	return row
}

// check compares the rules of the store with what the log tells.
func (l *ruleLedger) check(t testing.TB, s registry.Store, rules []*rule.Packed) {
	t.Helper()
	names, versions := map[string][]string{}, map[string]rule.ID{}
	for _, p := range rules {
		r := p.Rule()
		if r.CreatedBy == single {
			if !l.singles[r.Name] {
				t.Fatalf("%s is there and the audit log says that it is not", r.Name)
			}
			continue
		}
		resource := "rules:" + r.Creator.Subject
		if v, seen := versions[resource]; seen && v != r.Relationships[0] {
			t.Fatalf("%s has rules of two requests: versions %d and %d", resource, v, r.Relationships[0])
		}
		versions[resource] = r.Relationships[0]
		names[resource] = append(names[resource], r.Name)
	}
	for n := range crashers {
		resource := resourceOf(crasher(n))
		slices.Sort(names[resource])
		digest := ""
		if len(names[resource]) > 0 {
			digest = digestOf(names[resource]...)
		}
		if digest != l.digests[resource] {
			t.Fatalf("%s has %d rules, which are not those of the last request in the audit log", resource, len(names[resource]))
		}
	}
	l.checkStaged(t, s)
}

func (l *ruleLedger) checkStaged(t testing.TB, s registry.Store) {
	t.Helper()
	all, err := s.StagedRules(t.Context(), registry.StagedPlace{}, 1_000_000)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]stagedLedger{}
	for _, r := range all {
		resource := "rules:" + r.Rule.Creator.Subject
		g := found[resource]
		if g.count > 0 && g.generation != r.Generation {
			t.Fatalf("%s has two generations", resource)
		}
		found[resource] = stagedLedger{r.Generation, g.count + 1}
	}
	for resource, g := range l.staged {
		if g.count != found[resource].count || g.count > 0 && g != found[resource] {
			t.Fatalf("%s has staged %+v, of which the audit log tells %+v", resource, found[resource], g)
		}
	}
}

// exerciseRules changes and removes every rule there is.
func exerciseRules(t testing.TB, s *registry.Service) {
	t.Helper()
	for n := range crashers {
		p := crasher(n)
		p.stage(t, s, fmt.Sprint("exercise ", s.Snapshot().Revision), ruleOf(p.actor.Username+"/0/0000", 5))
		p.post(t, s, rule.DeleteAllForUser, ruleOf(p.actor.Username+"/0/0000", 7))
		if _, err := s.DeleteRulesOf(t.Context(), p.actor, p.creator); err != nil {
			t.Fatalf("remove what was there before the kill: %v", err)
		}
	}
	for r := range s.Snapshot().Rules.All(0) {
		if err := s.DeleteRule(t.Context(), admin, r.ID, ""); err != nil {
			t.Fatalf("remove what was there before the kill: %v", err)
		}
	}
}
