package main

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// A town is the same each time it is made, and as it says.
func TestTown(t *testing.T) {
	one, other := newTown(3000, 200, 30), newTown(3000, 200, 30)
	other.began = one.began
	people, rights := one.people(), one.rights()
	if !reflect.DeepEqual(people, other.people()) || !reflect.DeepEqual(rights, other.rights()) {
		t.Fatal("two towns differ")
	}
	s := (*access.Set)(nil).With(people).With(strangers()).With(rights)
	if s.GrantTotal() != 3000 || s.UserCount() != 200 || s.MemberTotal() != len(people.Members) {
		t.Errorf("%d grants, %d users, %d members", s.GrantTotal(), s.UserCount(), s.MemberTotal())
	}
	ended, ends := 0, 0
	for i := range rights.Grants {
		if g := &rights.Grants[i]; !g.Expires.IsZero() {
			ends++
			if !g.InForce(one.began) {
				ended++
			}
		}
	}
	if ends < 250 || ended < 100 || ended > ends-100 {
		t.Errorf("%d grants end, %d are over", ends, ended)
	}
	// Changes come back to where they began, and answer no question otherwise.
	before := s.MemberTotal() + s.GrantTotal()
	for n := range 10 * changesAround {
		was := s
		if s = s.With(one.row(n)); s.MemberTotal() == was.MemberTotal() && s.GrantTotal() == was.GrantTotal() {
			t.Fatalf("change %d changes nothing", n)
		}
	}
	if s.MemberTotal()+s.GrantTotal() != before {
		t.Error("changes leave something")
	}
}

// Questions have the answers of a set, some of both kinds, and those of statements
// differ where the token or a source decides.
func TestQuestions(t *testing.T) {
	town := newTown(3000, 200, 30)
	people, rights := town.people(), town.rights()
	s := (*access.Set)(nil).With(people).With(rights)
	allowed, apart := 0, 0
	asked := town.questions(4000, people, rights)
	for i := range asked {
		q := &asked[i]
		if got := s.Allows(&q.who, q.typ, q.id, true, town.began); got != q.allowed {
			t.Fatalf("%+v is %v", q, got)
		}
		all := access.Who{User: q.who.User, Sync: true}
		if got := s.Allows(&all, q.typ, q.id, true, town.began); got != q.stored {
			t.Fatalf("%+v of what is stored is %v", q, got)
		}
		if q.allowed {
			allowed++
		}
		if q.allowed != q.stored {
			apart++
		}
	}
	if allowed < 1000 || allowed > 3900 || apart < 50 {
		t.Errorf("of %d questions %d are allowed, and %d otherwise by what is stored", len(asked), allowed, apart)
	}
}

// All of it runs on a small town, and tells what the bars ask for.
func TestMeasure(t *testing.T) {
	out, err := size{grants: 3000, users: 200, groups: 30, questions: 1200, rounds: 2, slow: 100}.measure(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for key, none := range map[string]bool{"p99": false, "allocations": true, "grows": false, "proportion": false, "duckdb": false} {
		if v, ok := out.Values[key]; !ok || (v.Value == 0) != none {
			t.Errorf("%s is %+v, %v", key, v, ok)
		}
	}
	if len(out.Rows) != 5 || len(out.Notes) != 2 || !strings.Contains(out.Notes[0], "DuckDB") {
		t.Errorf("%q\n%q", out.Rows, out.Notes)
	}
}

// A way that fails, or answers wrong, ends it all.
func TestWrongWay(t *testing.T) {
	town := newTown(1000, 50, 10)
	asked := town.questions(100, town.people(), town.rights())
	var l live
	l.fill(newTown(1000, 50, 10))
	wrong := errors.New("wrong")
	for _, w := range []*way{
		{name: "it", share: 1, ask: func(context.Context, *question) (bool, error) { return false, wrong }, want: func(*question) bool { return false }},
		{name: "it", share: 1, ask: func(context.Context, *question) (bool, error) { return true, nil }, want: func(q *question) bool { return q.allowed }},
	} {
		if _, _, err := l.race(t.Context(), town, []*way{w}, asked, 1); err == nil || !strings.Contains(err.Error(), "it: ") {
			t.Errorf("got %v", err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := newStatements(ctx, town, town.people(), town.rights()); err == nil {
		t.Error("DuckDB of nothing")
	}
	if c := clock(); c < 0 || c > float64(time.Second) {
		t.Errorf("the clock takes %g ns", c)
	}
}
