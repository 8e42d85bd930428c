package main

import (
	"fmt"

	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/tools/bench/told"
)

// changesTimed is how many rows are changed one by one, and at once.
const changesTimed = 1000

// changeCosts are what changes of rows cost, with the front's part of it, in CPU
// nanoseconds a row, a series each: one row alone in the large town and in a small
// one, and one of a thousand that change at once in the large one.
type changeCosts struct{ oneOfMany, oneOfFew, together []float64 }

// measure adds one repetition.
func (c *changeCosts) measure(many, few *live, large, small *town) error {
	singly := func(l *live, t *town) (float64, error) {
		ns, err := told.OnThread(func() error {
			for n := range changesTimed {
				l.publish(l.current.Load().With(t.row(n)))
			}
			return nil
		})
		return ns / changesTimed, err
	}
	a, err := singly(many, large)
	if err != nil {
		return err
	}
	b, err := singly(few, small)
	if err != nil {
		return err
	}
	there, gone := large.rows(changesTimed)
	at, err := told.OnThread(func() error {
		many.publish(many.current.Load().With(there))
		return nil
	})
	if err != nil {
		return err
	}
	before := many.current.Load().GrantTotal()
	many.publish(many.current.Load().With(gone))
	if now := many.current.Load().GrantTotal(); before-now != changesTimed {
		return fmt.Errorf("a change of %d grants left %d of %d", changesTimed, now, before)
	}
	c.oneOfMany, c.oneOfFew, c.together = append(c.oneOfMany, a), append(c.oneOfFew, b), append(c.together, at/changesTimed)
	return nil
}

// rows are n new grants as one change, and the change that takes them back.
func (t *town) rows(n int) (there, gone *access.Delta) {
	there, gone = &access.Delta{}, &access.Delta{}
	for i := range n {
		typ, id := resource(i * (t.resources() / n))
		g := access.Grant{ID: numbered('z', i), Group: numbered('x', i%newcomers), Type: typ, Resource: id}
		there.Grants, gone.GoneGrants = append(there.Grants, g), append(gone.GoneGrants, g.ID)
	}
	return there, gone
}
