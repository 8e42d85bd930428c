package storetest

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// packedOf is the nth rule as a store is given it.
func packedOf(n int, name string) *rule.Packed {
	r := ruleOf(name, n)
	r.ID, r.Creator, r.CreatedBy, r.CreatedAt, r.UpdatedAt = int64(n), alice.creator, "alice", noon, noon
	return rule.Pack(&r)
}

func addRules(t testing.TB, s registry.Store, all ...*rule.Packed) registry.Revision {
	t.Helper()
	return write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.AddRules(ctx, all) })
}

func testRuleDeltas(t *testing.T, b Backend) {
	s := opened(t, at(b.Place(t), b.Forgetful))
	addRules(t, s, packedOf(1, "a"), packedOf(2, "b"), packedOf(3, "c"), packedOf(4, "d")) // 1
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.UpdateRule(ctx, packedOf(2, "b")) })
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteRules(ctx, []int64{4, 3}) })
	model := registry.GraphModel{Model: sampleModel(), Retired: []rule.Binding{
		{Ref: rule.Ref{Kind: rule.KindProperty, ID: 7}, Of: 3, Title: "x"}, {Ref: rule.Ref{Kind: rule.KindRelationship, ID: 8}, From: "a", To: "b", Title: "c"},
	}}
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.SetModel(ctx, model) }) // 4
	for _, c := range []struct {
		since        registry.Revision
		full, model  bool
		rules, spans int
	}{
		{0, true, true, 2, 0}, {1, false, true, 1, 1}, {2, false, true, 0, 1}, {3, false, true, 0, 0},
		{4, false, false, 0, 0}, {5, true, true, 2, 0},
	} {
		got := load(t, s, c.since)
		if got.Revision != 4 || got.Full != c.full || (got.Model != nil) != c.model || len(got.Rules) != c.rules || len(got.DeletedRules) != c.spans {
			t.Errorf("since %d: %+v", c.since, got)
		}
	}
	got := load(t, s, 3).Model
	if !got.Model.Equal(model.Model) || !reflect.DeepEqual(got.Retired, model.Retired) || got.Revision != 4 {
		t.Errorf("%+v", got)
	}
	if spans := load(t, s, 2).DeletedRules; spans[0] != (rule.Span{First: 3, Last: 4}) {
		t.Errorf("%v", spans)
	}
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error { return tx.UpdateRule(ctx, packedOf(9, "x")) })
	if !errors.Is(err, registry.ErrNotFound) {
		t.Error(err)
	}
	for range Remembered { // 5 to 9
		insert(t, s)
	}
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteRules(ctx, []int64{1}) }) // 10
	if c := load(t, s, 2); !c.Full || len(c.Rules) != 1 {
		t.Errorf("a deletion is lost to who was away: %+v", c)
	}
	if c := load(t, s, 9); c.Full || len(c.DeletedRules) != 1 {
		t.Errorf("%+v", c)
	}
	checkSince(t, s)
}

// checkSince holds that a transaction sees what others did, and not itself.
func checkSince(t *testing.T, s registry.Store) {
	t.Helper()
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		first, err := tx.NewRuleIDs(ctx, 3)
		if err != nil {
			return err
		}
		second, err := tx.NewRuleIDs(ctx, 1)
		if err != nil || second != first+3 {
			t.Errorf("%d after three from %d: %v", second, first, err)
		}
		for since, full := range map[registry.Revision]bool{9: false, 10: false, 11: true, 12: true} {
			c, err := tx.Since(ctx, since)
			if err != nil {
				return err
			}
			if c.Full != full || c.Revision != 10 || tx.Revision() != 11 || (len(c.DeletedRules) == 1) != (since == 9) {
				t.Errorf("since %d in transaction %d: %+v", since, tx.Revision(), c)
			}
		}
		return errGiveUp
	})
	if !errors.Is(err, errGiveUp) {
		t.Error(err)
	}
}

// testManyRules goes past the sizes at which stores and service work in parts.
func testManyRules(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	const n, each = 60_000, 30_000
	all := make([]rule.Rule, n)
	for i := range all {
		all[i] = ruleOf(fmt.Sprintf("many/%05d", i), 1)
	}
	begun := time.Now()
	for i := 0; i < n; i += each {
		alice.stage(t, s, "g1", all[i:i+each]...)
	}
	got, err := alice.commit(t, s, "g1")
	if err != nil || len(got.Created) != n || s.Snapshot().Rules.Len() != n {
		t.Fatalf("%d created, %v", len(got.Created), err)
	}
	t.Logf("staged and committed %d rules in %s", n, time.Since(begun))
	before := s.Snapshot()
	for i := 0; i < n; i += 3 {
		all[i] = ruleOf(all[i].Name, 2)
	}
	alice.post(t, s, rule.DeleteAllForUser, all[:n-1]...)
	after := s.Snapshot()
	changed := 0
	for p := range after.Rules.AllPacked(0) {
		if before.Rules.Packed(p.ID()) != p {
			changed++
		}
	}
	if changed != n/3 || after.Rules.Len() != n-1 {
		t.Errorf("%d of %d rules were written, %d are there", changed, n/3, after.Rules.Len())
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	s = service(t, open, newFleet())
	sameRules(t, s.Snapshot().Rules, after.Rules)
	if deleted, err := s.DeleteRulesOf(t.Context(), alice.actor, alice.creator); err != nil || deleted != n-1 || s.Snapshot().Rules.Len() != 0 {
		t.Errorf("%d %v", deleted, err)
	}
}

// testNoGap has two creators swap all their rules again and again, at as many
// replicas as there can be, while readers look on.
func testNoGap(t *testing.T, b Backend) {
	open := b.New(t)
	all := []*registry.Service{service(t, open, newFleet())}
	all = append(all, all[0])
	if b.Shared {
		all[1] = service(t, open, newFleet())
	}
	const rounds, each = 25, 40
	swap := func(p poster, s *registry.Service, version int) {
		rules := make([]rule.Rule, each)
		for i := range rules {
			rules[i] = ruleOf(fmt.Sprint(p.actor.Username, "/", i), version)
		}
		if version%3 > 0 {
			p.post(t, s, rule.DeleteAllForUser, rules...)
			return
		}
		g := fmt.Sprint("g", version)
		p.stage(t, s, g, rules[:each/2]...)
		p.stage(t, s, g, rules[each/2:]...)
		if _, err := p.commit(t, s, g); err != nil {
			t.Error(err)
		}
	}
	posters := []poster{alice, bob}
	for i, p := range posters {
		swap(p, all[i], 1)
	}
	for _, s := range all {
		eventually(t, "the first rules are everywhere", func() bool { return s.Snapshot().Rules.Len() == 2*each })
	}
	done := make(chan struct{})
	var readers, writers sync.WaitGroup
	for _, s := range all {
		readers.Go(func() { lookForGaps(t, s, each, done) })
	}
	for i, p := range posters {
		writers.Go(func() {
			for version := 2; version < rounds; version++ {
				swap(p, all[i], version)
			}
		})
	}
	writers.Wait()
	close(done)
	readers.Wait()
}

// lookForGaps reads snapshots: each has all rules of each creator, of one version.
func lookForGaps(t *testing.T, s *registry.Service, each int, done <-chan struct{}) {
	looks := 0
	for {
		count, version := map[string]int{}, map[string]rule.ID{}
		for r := range s.Snapshot().Rules.For(rule.Subjects{Groups: []string{"staff"}}) {
			if v, seen := version[r.CreatedBy]; seen && v != r.Relationships[0] {
				t.Errorf("a half changed set of %s's: versions %d and %d", r.CreatedBy, v, r.Relationships[0])
			}
			version[r.CreatedBy] = r.Relationships[0]
			count[r.CreatedBy]++
		}
		if looks++; count["alice"] != each || count["bob"] != each {
			t.Errorf("a gap: %v", count)
		}
		select {
		case <-done:
			t.Logf("%d looks", looks)
			return
		default:
		}
	}
}

// testRulesConverge has replicas write at random, and compares them in the end.
func testRulesConverge(t *testing.T, b Backend) {
	open := b.New(t)
	all := []*registry.Service{service(t, open, newFleet()), service(t, open, newFleet()), service(t, open, newFleet())}
	posters := []poster{alice, bob, posterOf("admin")}
	var wg sync.WaitGroup
	for n, s := range all {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(n), 11))
			for range 30 {
				convergeStep(t, s, posters[r.IntN(3)], r)
			}
		})
	}
	wg.Wait()
	newest := service(t, open, newFleet()).Snapshot()
	if newest.Rules.Len() == 0 {
		t.Error("nothing is left to compare")
	}
	for i, s := range all {
		eventually(t, fmt.Sprint("replica ", i, " has it all"), func() bool { return s.Snapshot().Revision >= newest.Revision })
		sameRules(t, s.Snapshot().Rules, newest.Rules)
		if !s.Snapshot().Model.Equal(newest.Model) {
			t.Errorf("replica %d has another model", i)
		}
	}
}

func convergeStep(t *testing.T, s *registry.Service, p poster, r *rand.Rand) {
	var rules []rule.Rule
	for i := range 1 + r.IntN(8) {
		rules = append(rules, ruleOf(fmt.Sprint("rule ", i, " ", r.IntN(3)), 1+r.IntN(3)))
	}
	switch r.IntN(6) {
	case 0:
		m := sampleModel()
		m.Entities = append(m.Entities, rule.Entity{ID: 1, Title: fmt.Sprint("title ", r.IntN(100))})
		if _, err := s.ReplaceModel(t.Context(), p.actor, m, true); err != nil {
			t.Error(err)
		}
	case 1:
		for rule := range s.Snapshot().Rules.All(0) {
			if err := s.DeleteRule(t.Context(), p.actor, rule.ID, ""); err != nil && codeOf(err) != "not_found" {
				t.Error(err)
			}
			return
		}
	default:
		strategy := []rule.Strategy{rule.Ignore, rule.DeleteOnConflict, rule.DeleteAllForUser}[r.IntN(3)]
		p.post(t, s, strategy, rules...)
	}
}

func testSweptOnce(t *testing.T, b Backend) {
	open := b.New(t)
	c := &clock{at: noon}
	with := func(o *registry.Options) { o.Clock, o.SweepInterval = c.now, 5*time.Millisecond }
	all := []*registry.Service{service(t, open, newFleet(), with), service(t, open, newFleet(), with), service(t, open, newFleet(), with)}
	alice.stage(t, all[0], "g1", ruleOf("a", 1))
	c.advance(registry.GenerationLife)
	eventually(t, "it is dropped", func() bool { return len(audited(t, all[1])) == 2 })
	for range 20 {
		if _, err := alice.commit(t, all[2], "g1"); codeOf(err) != "generation_superseded" {
			t.Error(err)
		}
	}
	if n := len(audited(t, all[1])); n != 2 {
		t.Errorf("%d rows", n)
	}
}
