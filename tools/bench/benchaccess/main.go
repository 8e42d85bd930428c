// Command benchaccess measures checks of access, and changes of what they are answered
// from, beside look-ups in Go's own maps and the way without a set, a query or two
// to DuckDB for each check, and prints what it found as one JSON object. It is
// started by bench.
package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/tools/bench/told"
)

func main() { told.Main("benchaccess", measure) }

// size is how much is asked of how large a town.
type size struct {
	grants, users, groups int
	// questions are asked in each of rounds, every slowth of them of DuckDB.
	questions, rounds, slow int
}

func measure(ctx context.Context, quick bool) (told.Outcome, error) {
	s := size{grants: 1_000_000, users: 100_000, groups: 10_000, questions: 1 << 17, rounds: 9, slow: 1 << 8}
	if quick {
		s.rounds = 3
	}
	return s.measure(ctx)
}

func (s size) measure(ctx context.Context) (out told.Outcome, err error) {
	const less = 100 // times fewer are in the small town
	large, small := newTown(s.grants, s.users, s.groups), newTown(max(s.grants/less, 1000), max(s.users/less, 100), max(s.groups/less, 10))
	asked, db, err := s.prepare(ctx, large)
	if err != nil {
		return out, fmt.Errorf("DuckDB: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	var many, few live
	bytes := many.fill(newTown(s.grants, s.users, s.groups))
	few.fill(small)
	bare := newFloor(large)
	stored := func(q *question) bool { return q.stored }
	ways := []*way{
		{name: "a check", share: 1, want: func(q *question) bool { return q.allowed }, ask: func(_ context.Context, q *question) (bool, error) {
			return many.check(q, large.began), nil
		}},
		{name: "two look-ups in Go's map, nothing decided", share: 1, want: func(*question) bool { return true }, ask: func(_ context.Context, q *question) (bool, error) {
			return bare.ask(q), nil
		}},
		{name: "DuckDB, one query", share: s.slow, want: stored, ask: db.once},
		{name: "DuckDB, two queries", share: s.slow, want: stored, ask: db.twice},
	}
	changes, allocations, err := many.race(ctx, large, ways, asked, s.rounds)
	if err != nil {
		return out, err
	}
	var costs changeCosts
	for range s.rounds {
		if err := costs.measure(&many, &few, large, small); err != nil {
			return out, err
		}
	}
	return s.tell(ways, &costs, changes, allocations, bytes), nil
}

// prepare makes the questions, and DuckDB's tables. The rows themselves are not kept.
func (s size) prepare(ctx context.Context, t *town) ([]question, *statements, error) {
	people, rights := t.people(), t.rights()
	db, err := newStatements(ctx, t, people, rights)
	return t.questions(s.questions, people, rights), db, err
}

// fill publishes a town, and returns the bytes of memory that a grant of it takes in
// the set.
func (l *live) fill(t *town) float64 {
	s := (*access.Set)(nil).With(t.people()).With(strangers())
	before := told.Live()
	s = s.With(t.rights())
	bytes := float64(told.Live()-before) / float64(s.GrantTotal())
	l.publish(s)
	return bytes
}

// tell makes the table and the bars' numbers.
func (s size) tell(ways []*way, costs *changeCosts, changes, allocations, bytes float64) told.Outcome {
	out := told.Outcome{Rows: [][]string{{"way", "p50 us", "p99 us", "against a check at p50"}}}
	check, _ := told.Middle(ways[0].p50)
	for _, w := range ways {
		p50, p50Apart := told.Middle(w.p50)
		p99, p99Apart := told.Middle(w.p99)
		out.Rows = append(out.Rows, []string{
			w.name, fmt.Sprintf("%.3g ±%.0f%%", p50/1e3, p50Apart*100), fmt.Sprintf("%.3g ±%.0f%%", p99/1e3, p99Apart*100),
			fmt.Sprintf("%.3gx", p50/check),
		})
	}
	out.Put("p99", 1e-3, ways[0].p99)
	out.Values["allocations"] = told.Value{Value: allocations}
	many, few, together := out.Put("oneOfMany", 1, costs.oneOfMany), out.Put("oneOfFew", 1, costs.oneOfFew), out.Put("together", 1, costs.together)
	out.Values["grows"] = told.Value{Value: many / few, Spread: out.Values["oneOfMany"].Spread}
	out.Values["proportion"] = told.Value{Value: together / many, Spread: out.Values["together"].Spread}
	old, _ := told.Middle(ways[2].p50)
	out.Values["duckdb"] = told.Value{Value: old / check}
	out.Notes = []string{
		fmt.Sprintf("%d grants on %d resources, %d users in up to 20 of %d groups; tokens name five more. Half of the questions are about something that one of the user's "+
			"groups has a grant on. Every answer was compared with a walk over all rows; DuckDB is asked without the token's groups. Each way is asked all its questions (%d; of DuckDB %d), one by one, "+
			"then comes the next, %d times over, so that none finds anything in the processor's caches; %.0f changes of a row were made and published a second meanwhile. "+
			"Two readings of the clock, %.0f ns, are in every number.",
			s.grants, s.grants*2/5, s.users, s.groups, s.questions, s.questions/s.slow, s.rounds, changes, clock()),
		fmt.Sprintf("A grant takes %.0f bytes in the set. A change of a row, with the front's part, costs %.1f us of CPU there and %.1f us among %d grants; of a thousand grants at once, %.1f us each.",
			bytes, many/float64(time.Microsecond), few/float64(time.Microsecond), max(s.grants/100, 1000), together/float64(time.Microsecond)),
	}
	return out
}
