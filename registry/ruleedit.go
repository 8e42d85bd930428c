package registry

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
)

// PutRule replaces what one rule says. Its name, creator and time of creation
// stay: the name is the rule's identity, and who edits a rule does not take it
// over. ifMatch, unless empty, must be the rule's revision, bare or in double
// quotes; else the answer is 412. What is the same already is no change.
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
		result = old
		if next == nil {
			did.ruleSpans = []rule.Span{{First: id, Last: id}}
			if err := tx.DeleteRules(ctx, []int64{id}); err != nil {
				return err
			}
			return auditRule(ctx, tx, actor, ActionRuleDeleted, s.now(), &old, nil)
		}
		next.ID, next.UpdatedAt, next.Revision = id, s.now(), int64(tx.Revision())
		after := rule.Pack(next)
		if after.SameContent(before) {
			return errUnchanged
		}
		result, did.rules = after.Rule(), []*rule.Packed{after}
		if err := tx.UpdateRule(ctx, after); err != nil {
			return err
		}
		return auditRule(ctx, tx, actor, ActionRuleUpdated, s.now(), &old, &result)
	}, &did)
	if errors.Is(err, errUnchanged) {
		return result, s.refresh(ctx)
	}
	if err != nil {
		return rule.Rule{}, err
	}
	return result, nil
}

// DeleteRulesOf removes all rules of one creator and returns how many they were.
// What the creator has staged stays.
func (s *Service) DeleteRulesOf(ctx context.Context, actor Actor, c rule.Creator) (n int, err error) {
	var did written
	err = s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		did = written{}
		now, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		change := newRuleChange(now.Rules, "", rule.Owner{Creator: c, Username: actor.Username}, s.now(), tx.Revision())
		change.removeAll()
		if n = len(change.deleted); n == 0 {
			return errUnchanged
		}
		if err := change.store(ctx, tx, &did); err != nil {
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

// matchesRevision judges If-Match: anything but the revision, bare or quoted,
// never matches, and nothing always does.
func matchesRevision(revision int64, ifMatch string) bool {
	rev := strconv.FormatInt(revision, 10)
	return ifMatch == "" || ifMatch == rev || ifMatch == `"`+rev+`"`
}

// noRule says that a rule is not there.
func noRule(id int64) error {
	return fault.New(fault.NotFound, "not_found", "no rule has the id %d", id)
}
