package registry

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/registry/rule"
)

// ruleChange works out what a post does to the rules that are there. It decides;
// the store only keeps.
type ruleChange struct {
	now      *rule.Set
	strategy rule.Strategy
	owner    rule.Owner
	at       time.Time
	revision int64

	made    []*rule.Packed // to be added; in the end with their ids
	deleted []int64
	// kept are rules that the request names again.
	kept    map[int64]struct{}
	owners  map[rule.Owner]*rule.Owner
	answer  RulePosted
	foreign []foreignRule
	strange int // how many rules of others were concerned
}

// foreignRule is a rule of another creator that a post replaced or ignored.
type foreignRule struct {
	name  string
	owner *rule.Owner
	what  string
}

// maxForeign bounds how many of them an audit row names.
const maxForeign = 100

func newRuleChange(now *rule.Set, strategy rule.Strategy, owner rule.Owner, at time.Time, rev Revision) *ruleChange {
	return &ruleChange{
		now: now, strategy: strategy, owner: owner, at: at, revision: int64(rev),
		kept: map[int64]struct{}{}, owners: map[rule.Owner]*rule.Owner{},
	}
}

// add takes in one rule of the request.
func (c *ruleChange) add(r *rule.Packed) {
	name := r.Name()
	old := c.now.PackedByName(name)
	if old == nil {
		c.made = append(c.made, r)
		c.answer.Created = append(c.answer.Created, c.named(name, c.owner))
		return
	}
	was := old.Owner()
	own := was.Creator == c.owner.Creator
	replaces := c.strategy == rule.DeleteOnConflict || c.strategy == rule.DeleteAllForUser && own
	if !own {
		c.note(name, was, replaces)
	}
	if !replaces {
		c.answer.Ignored = append(c.answer.Ignored, c.named(name, was))
		return
	}
	c.kept[old.ID()] = struct{}{}
	c.answer.Created = append(c.answer.Created, c.named(name, c.owner))
	c.answer.Deleted = append(c.answer.Deleted, c.named(name, was))
	if old.SameContent(r) {
		return // so that a rerun that changes nothing costs nothing
	}
	// What takes its place gets an id of its own: it is another rule.
	c.deleted = append(c.deleted, old.ID())
	c.made = append(c.made, r)
}

// note remembers a conflict with another creator for the audit log.
func (c *ruleChange) note(name string, was rule.Owner, replaces bool) {
	c.strange++
	if len(c.foreign) < maxForeign {
		what := "ignored"
		if replaces {
			what = "replaced"
		}
		c.foreign = append(c.foreign, foreignRule{name, c.named(name, was).CreatedBy, what})
	}
}

// finish ends the request: with DeleteAllForUser, what the owner had and did not
// send again goes.
func (c *ruleChange) finish() {
	if c.strategy == rule.DeleteAllForUser {
		for p := range c.now.OwnedBy(c.owner.Creator) {
			if _, again := c.kept[p.ID()]; !again {
				c.remove(p)
			}
		}
	}
	c.sort()
}

// removeAll removes all rules of the owner.
func (c *ruleChange) removeAll() {
	for p := range c.now.OwnedBy(c.owner.Creator) {
		c.remove(p)
	}
	c.sort()
}

func (c *ruleChange) remove(p *rule.Packed) {
	c.deleted = append(c.deleted, p.ID())
	c.answer.Deleted = append(c.answer.Deleted, c.named(p.Name(), p.Owner()))
}

func (c *ruleChange) sort() {
	for _, list := range [][]Named{c.answer.Created, c.answer.Ignored, c.answer.Deleted} {
		slices.SortFunc(list, func(a, b Named) int { return cmp.Compare(a.Name, b.Name) })
	}
}

// named shares owners, and keeps a name apart from the memory of its rule.
func (c *ruleChange) named(name string, owner rule.Owner) Named {
	shared, known := c.owners[owner]
	if !known {
		shared = &owner
		c.owners[owner] = shared
	}
	return Named{strings.Clone(name), shared}
}

// store writes the change and notes it for the snapshot.
func (c *ruleChange) store(ctx context.Context, tx Tx, did *written) error {
	if len(c.deleted) > 0 {
		if err := tx.DeleteRules(ctx, c.deleted); err != nil {
			return err
		}
	}
	if n := len(c.made); n > 0 {
		first, err := tx.NewRuleIDs(ctx, n)
		if err != nil {
			return err
		}
		for i, r := range c.made {
			c.made[i] = r.As(first+int64(i), c.at, c.revision)
		}
		if err := tx.AddRules(ctx, c.made); err != nil {
			return err
		}
	}
	did.rules, did.ruleSpans = c.made, rule.SpansOf(c.deleted)
	return nil
}
