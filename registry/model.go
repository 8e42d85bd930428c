package registry

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
)

// maxListed bounds how many rules an answer or an error names; their number is
// always told.
const maxListed = 1000

// ModelChange is the outcome of ReplaceModel.
type ModelChange struct {
	// Revision is the store's, of the change that stored the model.
	Revision Revision
	// Orphaned is what the model leaves orphaned.
	Orphaned Orphaned
}

// Orphaned tells which rules are orphaned under a model.
type Orphaned struct {
	// IDs are the ids that rules use and the model does not know (or, for
	// properties, not in the entity that lists them), each once, in order.
	IDs []rule.Ref
	// Rules are the first of the orphaned rules, by id; Count is how many there
	// are.
	Rules []RuleRef
	Count int
}

// RuleRef names a rule.
type RuleRef struct {
	ID   int64
	Name string
}

// ReplaceModel replaces the graph model whole. A model with mistakes is 400
// bad_model with all of them. When an id that rules use stood for something else
// in the model before, or when a model last knew it, the answer is 409
// rebinds_rules, unless rebind is set. Rules that are orphaned stay. Generations
// under way are dropped when any id stands for something else: they were made for
// the model before. The model becomes the service's. The same model again is no
// change. With the token of an attempt that is over it is 409 run_ended.
func (s *Service) ReplaceModel(ctx context.Context, actor Actor, m *rule.Model, rebind bool) (ModelChange, error) {
	if all := m.Check(); len(all) > 0 {
		return ModelChange{}, refusedRules(all)
	}
	var did written
	var now *Snapshot
	err := s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		did = written{}
		if _, err := s.runOf(ctx, tx, actor.Bearer); err != nil {
			return err
		}
		var err error
		if now, err = s.current(ctx, tx); err != nil {
			return err
		}
		if now.Model.Equal(m) && now.ModelRevision > 0 {
			return errUnchanged
		}
		rebound := rule.Rebound(now.Model, now.retired, m)
		if err := s.rebind(ctx, tx, now.Rules, rebound, rebind); err != nil {
			return err
		}
		stored := GraphModel{Model: m, Revision: tx.Revision()}
		stored.Retired = rule.Retire(now.Model, now.retired, m, usedBy(now.Rules, m))
		if err := tx.SetModel(ctx, stored); err != nil {
			return err
		}
		did.model = &stored
		return auditModel(ctx, tx, actor, s.now(), now, m, rebound)
	}, &did)
	switch {
	case errors.Is(err, errUnchanged):
		return ModelChange{Revision: now.ModelRevision, Orphaned: orphaned(now.Rules, now.Model)}, s.refresh(ctx)
	case err != nil:
		return ModelChange{}, err
	}
	return ModelChange{Revision: did.model.Revision, Orphaned: orphaned(now.Rules, m)}, nil
}

// rebind refuses ids that stand for something else, when rules use them, and
// drops what is staged for the old meaning.
func (s *Service) rebind(ctx context.Context, tx Tx, rules *rule.Set, rebound []rule.Ref, allowed bool) error {
	if len(rebound) == 0 {
		return nil
	}
	if !allowed {
		if err := rebindsRules(rules, rebound); err != nil {
			return err
		}
	}
	open, err := tx.OpenGenerations(ctx, s.now().Add(GenerationLife)) // all of them
	if err != nil {
		return err
	}
	for i := range open {
		if err := s.supersede(ctx, tx, &open[i]); err != nil {
			return err
		}
	}
	return nil
}

// rebindsRules is the error for rules that use one of the ids; nil when none
// does.
func rebindsRules(rules *rule.Set, rebound []rule.Ref) error {
	is := make(map[rule.Ref]bool, len(rebound))
	for _, ref := range rebound {
		is[ref] = true
	}
	var all []fault.Violation
	count := 0
	for r := range rules.All(0) {
		first := rule.Ref{}
		r.Uses(func(ref rule.Ref) {
			if is[ref] && first.Kind == "" {
				first = ref
			}
		})
		if first.Kind == "" {
			continue
		}
		if count++; len(all) < maxListed {
			all = append(all, fault.Violation{
				Code: "rebinds_rules", Pointer: "/rules/" + strconv.FormatInt(r.ID, 10),
				Detail: "rule " + shown(r.Name) + " uses " + first.String() + ", which would stand for something else",
			})
		}
	}
	if count == 0 {
		return nil
	}
	e := fault.New(fault.Conflict, "rebinds_rules",
		"the model gives ids another meaning that %d rules use, so that they would show something else; "+
			"give new things new ids, or ask with rebind=true", count)
	e.Violations = all
	return e
}

// usedBy tells whether a rule refers to an id. Only ids that the new model lacks
// are asked for, so the rules are read only if there are any.
func usedBy(rules *rule.Set, after *rule.Model) func(rule.Ref) bool {
	var used map[rule.Ref]bool
	return func(ref rule.Ref) bool {
		if used == nil {
			used = map[rule.Ref]bool{}
			for r := range rules.All(0) {
				r.Uses(func(ref rule.Ref) {
					if !after.Has(ref) {
						used[ref] = true
					}
				})
			}
		}
		return used[ref]
	}
}

// orphaned finds the rules that a model orphans.
func orphaned(rules *rule.Set, m *rule.Model) Orphaned {
	var out Orphaned
	seen := map[rule.Ref]bool{}
	note := func(kind rule.Kind, ids []rule.ID) {
		for _, id := range ids {
			if ref := (rule.Ref{Kind: kind, ID: id}); !seen[ref] {
				seen[ref] = true
				out.IDs = append(out.IDs, ref)
			}
		}
	}
	for r := range rules.All(0) {
		o := m.Orphans(&r)
		if !o.Any() {
			continue
		}
		note(rule.KindEntity, o.Entities)
		note(rule.KindProperty, o.Properties)
		note(rule.KindRelationship, o.Relationships)
		if out.Count++; len(out.Rules) < maxListed {
			out.Rules = append(out.Rules, RuleRef{r.ID, r.Name})
		}
	}
	slices.SortFunc(out.IDs, rule.Ref.Compare)
	return out
}
