package rule

import (
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

func TestSubjectsOf(t *testing.T) {
	for name, c := range map[string]struct {
		username, azp string
		groups        []string
		want          Subjects
	}{
		"a person":                      {"Alice", "web", nil, Subjects{User: "alice"}},
		"a client's own account":        {"service-account-etl", "etl", nil, Subjects{User: "service-account-etl", Client: "etl"}},
		"azp alone is nobody":           {"", "etl", nil, Subjects{}},
		"another client's account":      {"service-account-etl", "web", nil, Subjects{User: "service-account-etl"}},
		"an account without azp":        {"service-account-", "", nil, Subjects{User: "service-account-"}},
		"a client's account in capital": {"Service-Account-etl", "etl", nil, Subjects{User: "service-account-etl"}},
		"groups": {"bob", "web", []string{"/a/b", "a/b", "", "/", "//a", "B"},
			Subjects{User: "bob", Groups: []string{"a/b", "/a", "B"}}},
	} {
		got := SubjectsOf(c.username, c.azp, c.groups)
		if got.User != c.want.User || got.Client != c.want.Client || !slices.Equal(got.Groups, c.want.Groups) {
			t.Errorf("%s: %+v, not %+v", name, got, c.want)
		}
	}
}

// TestWhomRulesName goes through what a rule may write and whom that names.
func TestWhomRulesName(t *testing.T) {
	for name, c := range map[string]struct {
		rule Rule
		sub  Subjects
		want bool
	}{
		"user, other case":          {Rule{Users: []string{"ALICE"}}, SubjectsOf("alice", "", nil), true},
		"user, another":             {Rule{Users: []string{"alicea"}}, SubjectsOf("alice", "", nil), false},
		"group with a slash":        {Rule{Groups: []string{"/a/b"}}, SubjectsOf("x", "", []string{"a/b"}), true},
		"group without":             {Rule{Groups: []string{"a/b"}}, SubjectsOf("x", "", []string{"/a/b"}), true},
		"last part of a group":      {Rule{Groups: []string{"b"}}, SubjectsOf("x", "", []string{"/a/b"}), false},
		"parent of a group":         {Rule{Groups: []string{"/a"}}, SubjectsOf("x", "", []string{"/a/b"}), false},
		"group in capitals":         {Rule{Groups: []string{"A"}}, SubjectsOf("x", "", []string{"a"}), false},
		"client by id":              {Rule{Clients: []string{"etl"}}, SubjectsOf("service-account-etl", "etl", nil), true},
		"client by account":         {Rule{Clients: []string{"service-account-etl"}}, SubjectsOf("service-account-etl", "etl", nil), true},
		"client through a person":   {Rule{Clients: []string{"etl"}}, SubjectsOf("alice", "etl", nil), false},
		"account as a user":         {Rule{Users: []string{"service-account-etl"}}, SubjectsOf("service-account-etl", "etl", nil), true},
		"a user of a client's name": {Rule{Clients: []string{"alice"}}, SubjectsOf("alice", "", nil), false},
		"nobody":                    {Rule{Users: []string{"alice"}, Groups: []string{"a"}, Clients: []string{"c"}}, Subjects{}, false},
	} {
		c.rule.ID, c.rule.Name, c.rule.Active = 1, "r", true
		if got := len(slices.Collect(SetOf(c.rule).For(c.sub))) == 1; got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestFoldUser(t *testing.T) {
	letters := rapid.SliceOfN(rapid.SampledFrom([]rune("aAkK\u212AsSſßẞσΣς\u0130iIıéÉǅǆǄ\uFFFD1 _")), 0, 6)
	rapid.Check(t, func(t *rapid.T) {
		a, b := string(letters.Draw(t, "a")), string(letters.Draw(t, "b"))
		if (FoldUser(a) == FoldUser(b)) != strings.EqualFold(a, b) {
			t.Fatalf("%q and %q: %q, %q", a, b, FoldUser(a), FoldUser(b))
		}
		if FoldUser(FoldUser(a)) != FoldUser(a) {
			t.Fatalf("%q is not folded by folding", a)
		}
	})
	if FoldUser("Admin-1") != "admin-1" {
		t.Error(FoldUser("Admin-1"))
	}
	var folded string
	if n := testing.AllocsPerRun(100, func() { folded = FoldUser("service-account-etl") }); n != 0 || folded != "service-account-etl" {
		t.Errorf("%v allocations for what is folded", n)
	}
}
