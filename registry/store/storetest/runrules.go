package storetest

import (
	"testing"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
)

func runRuleTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"rules of a run":            testRulesOfRun,
		"a generation of a run":     testGenerationOfRun,
		"a token that has ended":    testEndedToken,
		"single changes of a run":   testSingleChangesOfRun,
		"names that no step has":    testImpossibleNames,
		"rules of a run on restart": testRulesOfRunAfterRestart,
	}
}

// loader posts rules with a token, by name.
func loader(token string, strategy rule.Strategy, names ...string) registry.RulePost {
	p := registry.RulePost{
		Creator: rule.Creator{Issuer: "i", Subject: "loader", Step: "not for the caller to say"}, CreatedBy: "service-account-loader",
		TokenDigest: run.DigestOf(token), Strategy: strategy,
	}
	for _, name := range names {
		p.Rules = append(p.Rules, rule.Rule{
			Name: name, Active: true, Users: []string{"alice"}, Entities: []rule.EntityGrant{{ID: 1}},
		})
	}
	return p
}

// holding starts a run of a step and gives its attempt a token.
func holding(t testing.TB, s *registry.Service, step, token string) *registry.Claimed {
	t.Helper()
	startRun(t, s, registry.StartInput{Step: step})
	c := claim(t, s, "one")
	if c == nil || c.Run.Step != step {
		t.Fatalf("claimed %+v", c)
	}
	if err := s.HoldToken(t.Context(), "one", c.Run.ID, len(c.Run.Attempts), run.DigestOf(token)); err != nil {
		t.Fatal(err)
	}
	return c
}

func postRules(t testing.TB, s *registry.Service, p registry.RulePost) {
	t.Helper()
	if _, err := s.PostRules(t.Context(), admin, p); err != nil {
		t.Fatal(err)
	}
}

func countsOf(t testing.TB, s *registry.Service, c *registry.Claimed) run.Counts {
	t.Helper()
	r, err := s.Run(t.Context(), c.Run.Step, c.Run.ID)
	if err != nil {
		t.Fatal(err)
	}
	return r.Counts
}

func testRulesOfRun(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	postRules(t, s, loader("outside", rule.Ignore, "by hand"))
	one := holding(t, s, "a", "one")
	postRules(t, s, loader("one", rule.DeleteAllForUser, "x", "y"))
	postRules(t, s, loader("one", rule.Ignore, "y", "z"))
	if got := countsOf(t, s, one); got != (run.Counts{Created: 3, Ignored: 1}) {
		t.Errorf("%+v", got)
	}
	x, ok := s.Snapshot().Rules.ByName("x")
	if !ok || x.Creator != (rule.Creator{Issuer: "i", Subject: "loader", Step: "a"}) || x.Run != string(one.Run.ID) {
		t.Errorf("%+v", x)
	}
	// The same client in another step, and outside steps, is another creator.
	two := holding(t, s, "b", "two")
	postRules(t, s, loader("two", rule.DeleteAllForUser, "w"))
	if got := countsOf(t, s, two); got != (run.Counts{Created: 1}) {
		t.Errorf("%+v", got)
	}
	postRules(t, s, loader("outside", rule.DeleteAllForUser, "by hand 2"))
	for name, want := range map[string]bool{"x": true, "y": true, "z": true, "w": true, "by hand": false, "by hand 2": true} {
		if _, ok := s.Snapshot().Rules.ByName(name); ok != want {
			t.Errorf("%s: there %v, want %v", name, ok, want)
		}
	}
	postRules(t, s, loader("one", rule.DeleteAllForUser, "x"))
	if got := countsOf(t, s, one); got != (run.Counts{Created: 4, Ignored: 1, Deleted: 3}) {
		t.Errorf("%+v", got)
	}
}

func testGenerationOfRun(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	one := holding(t, s, "a", "one")
	for _, chunk := range [][]string{{"x", "y"}, {"z"}} {
		p := loader("one", rule.DeleteAllForUser, chunk...)
		p.Generation = "g1"
		postRules(t, s, p)
	}
	if got := countsOf(t, s, one); got != (run.Counts{}) {
		t.Errorf("staged rules are counted: %+v", got)
	}
	commit := registry.RuleCommit{Creator: rule.Creator{Issuer: "i", Subject: "loader"}, TokenDigest: run.DigestOf("one"), Generation: "g1"}
	for range 2 {
		if _, err := s.CommitRules(t.Context(), admin, commit); err != nil {
			t.Fatal(err)
		}
	}
	if got := countsOf(t, s, one); got != (run.Counts{Created: 3}) {
		t.Errorf("%+v", got)
	}
	commit.TokenDigest = run.DigestOf("outside")
	_, err := s.CommitRules(t.Context(), admin, commit)
	refused(t, err, "generation_superseded") // of another creator
}

// bearing is an actor who holds a token.
func bearing(token string) registry.Actor {
	a := registry.Actor{Issuer: "i", Subject: "loader", Username: "service-account-loader"}
	a.Bearer = run.DigestOf(token)
	return a
}

func testSingleChangesOfRun(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	of := rule.Creator{Issuer: "i", Subject: "loader"}
	postRules(t, s, loader("outside", rule.Ignore, "by hand", "by hand 2"))
	other := holding(t, s, "b", "other")
	postRules(t, s, loader("other", rule.Ignore, "of b"))
	one := holding(t, s, "a", "one")
	postRules(t, s, loader("one", rule.Ignore, "x", "y", "z"))
	x, _ := s.Snapshot().Rules.ByName("x")
	y, _ := s.Snapshot().Rules.ByName("y")
	edited := x
	edited.Users = []string{"bob"}
	for range 2 { // the second time it is no change
		if got, err := s.PutRule(t.Context(), bearing("one"), x.ID, edited, ""); err != nil || got.Creator != x.Creator || got.Run != x.Run {
			t.Fatalf("%+v %v", got, err)
		}
	}
	if err := s.DeleteRule(t.Context(), bearing("one"), y.ID, ""); err != nil {
		t.Fatal(err)
	}
	if got := countsOf(t, s, one); got != (run.Counts{Created: 4, Deleted: 2}) {
		t.Errorf("%+v", got)
	}
	of.Step = "b"
	_, err := s.DeleteRulesOf(t.Context(), bearing("one"), of)
	refused(t, err, "denied")
	of.Step = ""
	for want := 2; want >= 0; want -= 2 {
		if n, err := s.DeleteRulesOf(t.Context(), bearing("one"), of); err != nil || n != want {
			t.Errorf("%d %v", n, err)
		}
	}
	of.Step = "a" // the same one
	if n, err := s.DeleteRulesOf(t.Context(), bearing("one"), of); err != nil || n != 0 {
		t.Errorf("%d %v", n, err)
	}
	if got := countsOf(t, s, one); got != (run.Counts{Created: 4, Deleted: 4}) {
		t.Errorf("%+v", got)
	}
	of.Step = "b" // without a run's token it is the caller who says it
	if n, err := s.DeleteRulesOf(t.Context(), bearing("outside"), of); err != nil || n != 1 {
		t.Errorf("%d %v", n, err)
	}
	if got := countsOf(t, s, other); got != (run.Counts{Created: 1}) {
		t.Errorf("what was done outside of the run is counted: %+v", got)
	}
	changesOfEndedRun(t, s, one)
}

// changesOfEndedRun has a run end, and its token change nothing any more.
func changesOfEndedRun(t *testing.T, s *registry.Service, of *registry.Claimed) {
	t.Helper()
	endRun(t, s, "one", of, run.Outcome{State: run.Succeeded})
	before, rows := s.Snapshot(), len(audited(t, s))
	r, _ := before.Rules.ByName("by hand")
	edited := r
	edited.Users = []string{"mallory"}
	_, err := s.PutRule(t.Context(), bearing("one"), r.ID, edited, "")
	refused(t, err, registry.CodeRunEnded)
	refused(t, s.DeleteRule(t.Context(), bearing("one"), r.ID, ""), registry.CodeRunEnded)
	_, err = s.DeleteRulesOf(t.Context(), bearing("one"), rule.Creator{Issuer: "i", Subject: "loader"})
	refused(t, err, registry.CodeRunEnded)
	_, err = s.ReplaceModel(t.Context(), bearing("one"), sampleModel(), true)
	refused(t, err, registry.CodeRunEnded)
	// The snapshot itself may be another: that the store has no news is news, too.
	if now := s.Snapshot().Revision; now != before.Revision || len(audited(t, s)) != rows {
		t.Errorf("something was changed: revision %d, not %d", now, before.Revision)
	}
	if n, err := s.DeleteRulesOf(t.Context(), bearing("outside"), rule.Creator{Issuer: "i", Subject: "loader"}); err != nil || n != 2 {
		t.Errorf("%d %v", n, err)
	}
}

// testImpossibleNames asks for what no store can hold, as the path of a request can
// say it: that is not there, whatever the store thinks of the text.
func testImpossibleNames(t *testing.T, b Backend) {
	s, _ := transformations(t, b.New(t))
	of := startRun(t, s, registry.StartInput{Step: "a"})
	for _, name := range []string{"\x00", "a\x00", "\xff", "a/b", "../a", "ä", "a%2Fb", ""} {
		_, err := s.Step(t.Context(), name)
		refused(t, err, "not_found")
		_, err = s.Runs(t.Context(), name, "", 10)
		refused(t, err, "not_found")
		_, err = s.StartRun(t.Context(), admin, registry.StartInput{Step: name, Key: "k"})
		refused(t, err, "not_found")
		_, err = s.DeleteStep(t.Context(), admin, name, "")
		refused(t, err, "not_found")
		_, _, err = s.PutStep(t.Context(), admin, stepInput(name, 2), "")
		refused(t, err, "bad_step")
		for _, place := range []struct {
			step string
			id   run.ID
		}{{name, of.ID}, {"a", run.ID(name)}} {
			_, err = s.Run(t.Context(), place.step, place.id)
			refused(t, err, "not_found")
			_, err = s.CancelRun(t.Context(), admin, place.step, place.id)
			refused(t, err, "not_found")
		}
	}
}

func testEndedToken(t *testing.T, b Backend) {
	s, c := transformations(t, b.New(t))
	one := holding(t, s, "a", "one")
	p := loader("one", rule.DeleteAllForUser, "x")
	p.Generation = "g1"
	postRules(t, s, p)
	endRun(t, s, "one", one, run.Outcome{State: run.Failed})
	for _, post := range []registry.RulePost{loader("one", rule.Ignore, "late"), p} {
		_, err := s.PostRules(t.Context(), admin, post)
		refused(t, err, registry.CodeRunEnded)
	}
	_, err := s.CommitRules(t.Context(), admin, registry.RuleCommit{
		Creator: p.Creator, TokenDigest: p.TokenDigest, Generation: "g1",
	})
	refused(t, err, registry.CodeRunEnded)
	// The next attempt has a token of its own; that of the first stays dead.
	c.advance(run.Backoff(1))
	claim(t, s, "one")
	if err := s.HoldToken(t.Context(), "one", one.Run.ID, 2, run.DigestOf("second")); err != nil {
		t.Fatal(err)
	}
	_, err = s.PostRules(t.Context(), admin, loader("one", rule.Ignore, "late"))
	refused(t, err, registry.CodeRunEnded)
	postRules(t, s, loader("second", rule.Ignore, "in time"))
	if _, err := s.CancelRun(t.Context(), admin, "a", one.Run.ID); err != nil {
		t.Fatal(err)
	}
	_, err = s.PostRules(t.Context(), admin, loader("second", rule.Ignore, "too late"))
	refused(t, err, registry.CodeRunEnded)
	if s.Snapshot().Rules.Len() != 1 {
		t.Errorf("%d rules", s.Snapshot().Rules.Len())
	}
}

func testRulesOfRunAfterRestart(t *testing.T, b Backend) {
	open := b.New(t)
	var id run.ID
	t.Run("before", func(t *testing.T) {
		s, _ := transformations(t, open)
		id = holding(t, s, "a", "one").Run.ID
		postRules(t, s, loader("one", rule.Ignore, "x"))
	})
	s := service(t, open, newFleet())
	x, ok := s.Snapshot().Rules.ByName("x")
	if !ok || x.Creator.Step != "a" || x.Run != string(id) {
		t.Errorf("%+v", x)
	}
	postRules(t, s, loader("one", rule.Ignore, "y")) // the attempt is not over yet
	if r, err := s.Run(t.Context(), "a", id); err != nil || r.Counts.Created != 2 {
		t.Errorf("%+v %v", r, err)
	}
}
