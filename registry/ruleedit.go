package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
)

// PutRule replaces what one rule says. Its name, creator and time of creation
// stay: the name is the rule's identity, and who edits a rule does not take it
// over. ifMatch, unless empty, must have the rule's revision, bare or in double
// quotes, or be *; else the answer is 412. What is the same already is no change.
// In a run, which actor.Bearer tells, the run counts it as one rule deleted and
// one created; when the token's attempt is over it is 409 run_ended.
func (s *Service) PutRule(ctx context.Context, actor Actor, id int64, r rule.Rule, ifMatch string) (rule.Rule, error) {
	if err := refusedRules(r.Check()); err != nil {
		return rule.Rule{}, err
	}
	return s.editRule(ctx, actor, id, ifMatch, func(old rule.Rule) (*rule.Rule, error) {
		if r.Name != old.Name {
			return nil, refusedRules([]fault.Violation{{
				Code: rule.CodeBadRules, Pointer: "/name",
				Detail: fmt.Sprintf("rule %s: name: is the rule's identity and stays; delete the rule and post %s anew",
					shown(old.Name), shown(r.Name)),
			}})
		}
		next := r
		next.Creator, next.CreatedBy, next.Run, next.CreatedAt = old.Creator, old.CreatedBy, old.Run, old.CreatedAt
		return &next, nil
	})
}

// DeleteRule removes one rule; ifMatch as in PutRule.
func (s *Service) DeleteRule(ctx context.Context, actor Actor, id int64, ifMatch string) error {
	_, err := s.editRule(ctx, actor, id, ifMatch, func(rule.Rule) (*rule.Rule, error) { return nil, nil })
	return err
}

// editRule makes one change to one rule; edit returns nil to delete it. It
// returns the rule after the change, or before when it is deleted.
func (s *Service) editRule(
	ctx context.Context, actor Actor, id int64, ifMatch string, edit func(old rule.Rule) (*rule.Rule, error),
) (result rule.Rule, err error) {
	var did written
	err = s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		did = written{}
		in, err := s.runOf(ctx, tx, actor.Bearer)
		if err != nil {
			return err
		}
		now, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		before := now.Rules.Packed(id)
		if before == nil {
			return noRule(id)
		}
		old := before.Rule()
		if err := matchesRule(&old, ifMatch); err != nil {
			return err
		}
		next, err := edit(old)
		if err != nil {
			return err
		}
		if result, err = s.storeEdit(ctx, tx, actor, before, next, &did); err != nil {
			return err
		}
		return s.countEdit(ctx, tx, in, next != nil)
	}, &did)
	if errors.Is(err, errUnchanged) {
		return result, s.refresh(ctx)
	}
	if err != nil {
		return rule.Rule{}, err
	}
	return result, nil
}

// storeEdit stores what an edit makes of a rule, with its row in the audit log;
// next is nil to delete it.
func (s *Service) storeEdit(
	ctx context.Context, tx Tx, actor Actor, before *rule.Packed, next *rule.Rule, did *written,
) (result rule.Rule, err error) {
	old, id := before.Rule(), before.ID()
	if next == nil {
		did.ruleSpans = []rule.Span{{First: id, Last: id}}
		if err := tx.DeleteRules(ctx, []int64{id}); err != nil {
			return old, err
		}
		return old, auditRule(ctx, tx, actor, ActionRuleDeleted, s.now(), &old, nil)
	}
	next.ID, next.UpdatedAt, next.Revision = id, s.now(), int64(tx.Revision())
	after := rule.Pack(next)
	if after.SameContent(before) {
		return old, errUnchanged
	}
	result, did.rules = after.Rule(), []*rule.Packed{after}
	if err := tx.UpdateRule(ctx, after); err != nil {
		return old, err
	}
	return result, auditRule(ctx, tx, actor, ActionRuleUpdated, s.now(), &old, &result)
}

// countEdit adds the change of one rule to the counts of its run.
func (s *Service) countEdit(ctx context.Context, tx Tx, in TokenHolder, replaced bool) error {
	if in.Run == "" {
		return nil
	}
	c := run.Counts{Deleted: 1}
	if replaced {
		c.Created = 1
	}
	return tx.AddRunCounts(ctx, in.Run, c)
}

// DeleteRulesOf removes all rules of one creator and returns how many they were.
// What the creator has staged stays. In a run, which actor.Bearer tells, the
// creator's step is the run's: another one is 403 denied, and when the token's
// attempt is over it is 409 run_ended.
func (s *Service) DeleteRulesOf(ctx context.Context, actor Actor, c rule.Creator) (n int, err error) {
	var did written
	err = s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		did = written{}
		owner, of, err := s.removerOf(ctx, tx, actor, c)
		if err != nil {
			return err
		}
		now, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		change := newRuleChange(now.Rules, "", owner, s.now(), tx.Revision())
		change.removeAll()
		if n = len(change.deleted); n == 0 {
			return errUnchanged
		}
		if err := change.store(ctx, tx, &did); err != nil {
			return err
		}
		if err := s.countRun(ctx, tx, of, &change.answer); err != nil {
			return err
		}
		return auditRules(ctx, tx, actor, ActionRulesDeleted, s.now(), change, "")
	}, &did)
	if errors.Is(err, errUnchanged) {
		return 0, s.refresh(ctx)
	}
	if err != nil {
		return 0, err
	}
	return n, nil
}

func matchesRule(r *rule.Rule, ifMatch string) error {
	if matchesRevision(r.Revision, ifMatch) {
		return nil
	}
	return fault.New(fault.Precondition, "revision_mismatch",
		"the rule's revision is %d, not what If-Match asks for; read it again and decide anew", r.Revision)
}

// matchesRevision judges If-Match (RFC 9110, section 13.1.1) for a record that is
// there: nothing and * always match; else one of the listed tags has to be the
// revision, which may also stand bare. Weak tags never match.
func matchesRevision(revision int64, ifMatch string) bool {
	if ifMatch == "" || ifMatch == "*" {
		return true
	}
	rev := strconv.FormatInt(revision, 10)
	for tag := range strings.SplitSeq(ifMatch, ",") {
		if tag = strings.Trim(tag, " \t"); tag == rev || tag == `"`+rev+`"` {
			return true
		}
	}
	return false
}

// noRule says that a rule is not there.
func noRule(id int64) error {
	return fault.New(fault.NotFound, "not_found", "no rule has the id %d", id)
}
