package main

import (
	"fmt"
	"runtime"

	"github.com/muster-fleet/muster/gateway/rules"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/tools/bench/told"
)

const (
	// manyRules are in the large snapshot, fewRules in the small one that changes
	// are compared with.
	manyRules = 1_000_000
	fewRules  = 10_000
	// loadChunk is how many rules a loader sends at once.
	loadChunk = 10_000
	// changesTimed is how many rules are changed one by one, and at once.
	changesTimed = 1_000
)

// principal names who has the rules: a thousand each. The first is alice.
func principal(i int) string {
	if i == 0 {
		return "alice"
	}
	return fmt.Sprintf("person-%06d", i)
}

// fill makes a set of count rules, a thousand a principal, chunk by chunk.
func fill(grants []grant, count int) *rule.Set {
	set := rule.SetOf()
	chunk := make([]rule.Rule, 0, loadChunk)
	for i := range count {
		chunk = append(chunk, stored(&grants[i%len(grants)], int64(i+1), principal(i/len(grants))))
		if len(chunk) == loadChunk || i == count-1 {
			set = set.With(chunk, nil)
			chunk = chunk[:0]
		}
	}
	return set
}

// snapshotCosts are what a set of a million rules costs.
type snapshotCosts struct {
	// bytes a rule.
	bytes float64
	// compile is the time to find and compile alice's rules, a series.
	compile []float64
	// oneOfMany and oneOfFew are the times of a change of one rule, in the large
	// and the small set; together is that of one of a thousand that change at once
	// in the large one. All in nanoseconds, a series each.
	oneOfMany, oneOfFew, together []float64
}

func measureSnapshot(grants []grant, repetitions int) (snapshotCosts, error) {
	var c snapshotCosts
	before := told.Live()
	many := fill(grants, manyRules)
	c.bytes = float64(told.Live()-before) / manyRules
	few := fill(grants, fewRules)
	if many.Len() != manyRules || few.Len() != fewRules {
		return c, fmt.Errorf("the sets hold %d and %d rules", many.Len(), few.Len())
	}
	model, alice := makeModel(), rule.SubjectsOf("alice", "muster-cli", []string{"/plant/graz", "/plant/linz"})
	for range repetitions {
		ns, err := told.OnThread(func() error {
			if p := rules.Compile(model, many.For(alice)); p.Rules() != len(grants) {
				return fmt.Errorf("%d of alice's rules were compiled", p.Rules())
			}
			return nil
		})
		if err != nil {
			return c, err
		}
		c.compile = append(c.compile, ns)
		if err := c.changes(grants, many, few); err != nil {
			return c, err
		}
	}
	runtime.KeepAlive(many)
	return c, nil
}

// changes times changes of rules that are spread over a set.
func (c *snapshotCosts) changes(grants []grant, many, few *rule.Set) error {
	singly := func(set *rule.Set) (float64, error) {
		changed := spread(grants, set.Len())
		ns, err := told.OnThread(func() error {
			now := set
			for i := range changed {
				now = now.With(changed[i:i+1], nil)
			}
			return sameLen(now, set)
		})
		return ns / changesTimed, err
	}
	a, err := singly(many)
	if err != nil {
		return err
	}
	b, err := singly(few)
	if err != nil {
		return err
	}
	changed := spread(grants, many.Len())
	at, err := told.OnThread(func() error { return sameLen(many.With(changed, nil), many) })
	c.oneOfMany, c.oneOfFew, c.together = append(c.oneOfMany, a), append(c.oneOfFew, b), append(c.together, at/changesTimed)
	return err
}

func sameLen(a, b *rule.Set) error {
	if a.Len() != b.Len() {
		return fmt.Errorf("%d rules after a change of %d", a.Len(), b.Len())
	}
	return nil
}

// spread are rules to change, at even distances over a set of n, each with
// another grant than it has.
func spread(grants []grant, n int) []rule.Rule {
	out := make([]rule.Rule, changesTimed)
	for i := range out {
		at := i * (n / changesTimed)
		out[i] = stored(&grants[(at+1)%len(grants)], int64(at+1), principal(at/len(grants)))
	}
	return out
}
