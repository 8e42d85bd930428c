package storetest

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// held is a rule of the map that random posts are compared with.
type held struct {
	version int
	by      string
}

// openGeneration is one of the map's.
type openGeneration struct {
	id     string
	staged map[string]int
	at     time.Time
}

// ruleMap is what the specification says of posts, over a map.
type ruleMap struct {
	rules map[string]held
	open  map[string]*openGeneration   // by creator
	ended map[string]map[string]bool   // generations by creator: whether known
	last  map[string]map[string]string // answers to commits, of the last one of each creator
	at    func() time.Time
}

func newRuleMap(at func() time.Time) *ruleMap {
	return &ruleMap{
		rules: map[string]held{}, open: map[string]*openGeneration{}, ended: map[string]map[string]bool{},
		last: map[string]map[string]string{}, at: at,
	}
}

// apply does what a strategy says, and returns the answer as answered writes it.
func (m *ruleMap) apply(by string, strategy rule.Strategy, rules map[string]int) string {
	var created, ignored, deleted []string
	label := func(name, by string) string {
		if by == "alice" {
			return name
		}
		return name + "/" + by
	}
	if strategy == rule.DeleteAllForUser {
		for name, h := range m.rules {
			if h.by == by {
				deleted = append(deleted, label(name, by))
				delete(m.rules, name)
			}
		}
	}
	for name, version := range rules {
		old, there := m.rules[name]
		if there && strategy != rule.DeleteOnConflict {
			ignored = append(ignored, label(name, old.by))
			continue
		}
		if there {
			deleted = append(deleted, label(name, old.by))
		}
		created = append(created, label(name, by))
		m.rules[name] = held{version, by}
	}
	for _, list := range [][]string{created, ignored, deleted} {
		slices.Sort(list)
	}
	join := func(list []string) string { s := fmt.Sprint(list); return s[1 : len(s)-1] }
	return fmt.Sprintf("created %s, ignored %s, deleted %s", join(created), join(ignored), join(deleted))
}

// stage returns the code of the refusal, empty for none.
func (m *ruleMap) stage(by, id string, rules map[string]int) string {
	if m.ended[by] == nil {
		m.ended[by] = map[string]bool{}
	}
	if m.ended[by][id] {
		return "generation_superseded"
	}
	g := m.open[by]
	if g == nil || g.id != id {
		if g != nil {
			m.ended[by][g.id] = true
		}
		g = &openGeneration{id, map[string]int{}, m.at()}
		m.open[by] = g
	}
	if m.at().Sub(g.at) >= registry.GenerationLife {
		return "generation_superseded"
	}
	for name, version := range rules {
		if old, there := g.staged[name]; there && old != version {
			return "bad_rules"
		}
	}
	maps.Copy(g.staged, rules)
	return ""
}

// commit returns the answer, or the code of the refusal.
func (m *ruleMap) commit(by, id string) (answer, code string) {
	if again, is := m.last[by][id]; is {
		return again, ""
	}
	g := m.open[by]
	if g == nil || g.id != id || m.at().Sub(g.at) >= registry.GenerationLife {
		return "", "generation_superseded"
	}
	m.ended[by][id] = true
	delete(m.open, by)
	answer = m.apply(by, rule.DeleteAllForUser, g.staged)
	m.last[by] = map[string]string{id: answer}
	return answer, ""
}

func (m *ruleMap) String() string {
	var all []string
	for name, h := range m.rules {
		text := fmt.Sprintf("%s[%d]", name, h.version)
		if h.by != "alice" {
			text += "/" + h.by
		}
		all = append(all, text)
	}
	slices.Sort(all)
	return fmt.Sprint(all)
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

// testRandomPosts has three creators post, stage, commit and delete at random, and
// compares every answer and every state with a map's; and at each step what Load
// tells of any past revision with what really changed since.
func testRandomPosts(t *testing.T, b Backend) {
	store, err := b.New(t)(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{at: noon}
	opened := func(context.Context, *slog.Logger) (registry.Store, error) { return store, nil }
	s := service(t, opened, newFleet(), func(o *registry.Options) { o.Clock = c.now })
	watched := &loads{store, []*registry.Snapshot{s.Snapshot()}}
	m := newRuleMap(c.now)
	posters := map[string]poster{"alice": alice, "bob": bob, "admin": posterOf("admin")}
	rapid.Check(t, func(t *rapid.T) {
		for range rapid.IntRange(1, 6).Draw(t, "steps") {
			randomPost(t, s, m, posters[rapid.SampledFrom([]string{"alice", "bob", "admin"}).Draw(t, "who")], c)
			if got := rulesOf(s.Snapshot()); got != m.String() {
				t.Fatalf("the rules are %s, not %s", got, m)
			}
			watched.check(t, s)
		}
	})
}

func randomPost(t *rapid.T, s *registry.Service, m *ruleMap, p poster, c *clock) {
	by := p.actor.Username
	wanted := map[string]int{}
	var rules []rule.Rule
	for _, name := range rapid.SliceOfNDistinct(rapid.SampledFrom([]string{"a", "b", "c", "d", "e", "f"}), 0, 4, rapid.ID).Draw(t, "names") {
		wanted[name] = rapid.IntRange(1, 3).Draw(t, "version")
		rules = append(rules, ruleOf(name, wanted[name]))
	}
	id := fmt.Sprint("g", rapid.IntRange(0, 5).Draw(t, "generation"), "-", c.now().Unix()/int64((48*time.Hour).Seconds()))
	in := p.request(rapid.SampledFrom([]rule.Strategy{rule.Ignore, rule.DeleteOnConflict, rule.DeleteAllForUser}).Draw(t, "strategy"), rules...)
	var got registry.RulePosted
	var err error
	var want, code string
	switch op := rapid.IntRange(0, 9).Draw(t, "op"); op {
	case 0, 1, 2, 3:
		got, err = s.PostRules(context.Background(), p.actor, in)
		want = m.apply(by, in.Strategy, wanted)
	case 4, 5, 6:
		in.Strategy, in.Generation = rule.DeleteAllForUser, id
		got, err = s.PostRules(context.Background(), p.actor, in)
		if code = m.stage(by, id, wanted); code == "" {
			want = answered(got) // what would be ignored is only known at the commit
		}
	case 7, 8:
		got, err = s.CommitRules(context.Background(), p.actor, registry.RuleCommit{Creator: p.creator, CreatedBy: by, Generation: id})
		want, code = m.commit(by, id)
	default:
		c.advance(time.Duration(rapid.IntRange(1, 20).Draw(t, "hours")) * time.Hour)
		return
	}
	if codeOf(err) != code || err == nil && answered(got) != want {
		t.Fatalf("%s: %s (%v)\nnot %s (%s)", by, answered(got), err, want, code)
	}
}

// loads remembers past snapshots and asks the store what changed since.
type loads struct {
	store registry.Store
	past  []*registry.Snapshot
}

func (l *loads) check(t *rapid.T, s *registry.Service) {
	now := s.Snapshot()
	if l.past[len(l.past)-1].Revision != now.Revision {
		l.past = append(l.past, now)
	}
	from := l.past[rapid.IntRange(0, len(l.past)-1).Draw(t, "since")]
	c, err := l.store.Load(context.Background(), from.Revision)
	if err != nil {
		t.Fatal(err)
	}
	sameRules(t, from.Rules.WithPacked(c.Rules, c.DeletedRules), now.Rules)
	full, err := l.store.Load(context.Background(), 0)
	if err != nil {
		t.Fatal(err)
	}
	sameRules(t, (*rule.Set)(nil).WithPacked(full.Rules, nil), now.Rules)
}

// fatal is a test of either kind.
type fatal interface {
	Fatalf(format string, args ...any)
}

// sameRules compares sets to the byte, ids and times included.
func sameRules(t fatal, got, want *rule.Set) {
	if got.Len() != want.Len() {
		t.Fatalf("%d rules, not %d", got.Len(), want.Len())
	}
	for p := range want.AllPacked(0) {
		if o := got.Packed(p.ID()); o == nil || fmt.Sprint(o.Rule()) != fmt.Sprint(p.Rule()) {
			t.Fatalf("%+v is not %+v", o, p.Rule())
		}
	}
}
