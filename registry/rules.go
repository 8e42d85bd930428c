package registry

import (
	"context"
	"crypto/sha256"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
)

// Bounds of rule changes.
const (
	// GenerationLife is for how long a generation may stay uncommitted.
	GenerationLife = 24 * time.Hour
	// rulesTimeout bounds a transaction that may concern a million rules. It takes
	// seconds; the bound is for machines that have other things to do.
	rulesTimeout = 5 * time.Minute
	// stagedPage is how many staged rules a commit reads at a time.
	stagedPage = 50_000
)

// RulePost is a request to store rules.
type RulePost struct {
	// Creator is the poster. Its step is decided by the token's run, not by the
	// caller.
	Creator rule.Creator
	// CreatedBy is the poster's user name.
	CreatedBy string
	// TokenDigest is the SHA-256 of the poster's token; zero when there was none.
	TokenDigest [sha256.Size]byte
	// Strategy is one of the published ones; empty means Ignore.
	Strategy rule.Strategy
	// Generation, when not empty, stages the rules under this name until
	// CommitRules; it needs the strategy DeleteAllForUser.
	Generation string
	// Rules are what is to be stored; what only the store knows of them is
	// ignored.
	Rules []rule.Rule
	// Violations are what the reader of the body has found wrong already; they
	// are reported together with the rest.
	Violations []fault.Violation
}

// RuleCommit is a request to swap a generation in.
type RuleCommit struct {
	// Creator, CreatedBy and TokenDigest are those of RulePost.
	Creator     rule.Creator
	CreatedBy   string
	TokenDigest [sha256.Size]byte
	Generation  string
}

// RulePosted says what became of the rules of a request, in the order of their
// names.
type RulePosted struct {
	// Created are stored as the request has them, or, in a generation, staged.
	Created []Named
	// Ignored were there already and stay as they are.
	Ignored []Named
	// Deleted were there before the request, as the strategy has it: one that was
	// created anew is among Created too.
	Deleted []Named
}

// Named is a rule's name with who owns it, or owned it when it is deleted.
type Named struct {
	Name string
	// CreatedBy is shared; it must not be changed.
	CreatedBy *rule.Owner
}

// PostRules stores rules by one of the three strategies (rules-and-
// transformations.md, section 2): all of them or, with all mistakes told, none.
// Readers see all of the change or nothing of it. With a generation they are
// staged.
func (s *Service) PostRules(ctx context.Context, actor Actor, p RulePost) (RulePosted, error) {
	if err := p.check(); err != nil {
		return RulePosted{}, err
	}
	if p.Generation != "" {
		return s.stage(ctx, actor, p)
	}
	var did written
	var answer RulePosted
	err := s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		did = written{}
		owner, run, err := s.ownerOf(ctx, tx, p.Creator, p.CreatedBy, p.TokenDigest)
		if err != nil {
			return err
		}
		now, err := s.current(ctx, tx)
		if err != nil {
			return err
		}
		change := newRuleChange(now.Rules, p.Strategy, owner, s.now(), tx.Revision())
		for _, r := range p.packed(owner, run, s.now()) {
			change.add(r)
		}
		change.finish()
		if err := change.store(ctx, tx, &did); err != nil {
			return err
		}
		answer = change.answer
		if err := s.countRun(ctx, tx, run, &answer); err != nil {
			return err
		}
		return auditRules(ctx, tx, actor, ActionRulesPosted, s.now(), change, "")
	}, &did)
	if err != nil {
		return RulePosted{}, err
	}
	return answer, nil
}

// current is the snapshot of the state that a transaction changes. The caller has
// the turn.
func (s *Service) current(ctx context.Context, tx Tx) (*Snapshot, error) {
	snap := s.Snapshot()
	if s.base == tx.Revision()-1 && snap.Revision == s.base {
		return snap, nil
	}
	c, err := tx.Since(ctx, s.base)
	if err != nil {
		return nil, err
	}
	return merge(snap, c, snap.LoadedAt, snap.Gateway), nil
}

// check finds everything that is wrong with a request.
func (p *RulePost) check() error {
	all := slices.Clone(p.Violations)
	bad := func(pointer, detail string) {
		all = append(all, fault.Violation{Code: rule.CodeBadRules, Pointer: pointer, Detail: detail})
	}
	switch p.Strategy {
	case "":
		p.Strategy = rule.Ignore
	case rule.Ignore, rule.DeleteOnConflict, rule.DeleteAllForUser:
	default:
		bad("/ruleCreationStrategy", "ruleCreationStrategy: "+shown(string(p.Strategy))+
			" is none of Ignore, DeleteOnConflict, DeleteAllForUser")
	}
	if p.Generation != "" {
		if p.Strategy != rule.DeleteAllForUser {
			bad("/generation", "generation: needs the strategy DeleteAllForUser, since it takes the place of all your rules")
		}
		if why := badGeneration(p.Generation); why != "" {
			bad("/generation", why)
		}
	}
	all = append(all, rule.CheckRules(p.Rules)...)
	return refusedRules(all)
}

func badGeneration(id string) string {
	switch {
	case id == "":
		return "generation: is missing; name the one to commit"
	case len(id) > rule.MaxGeneration:
		return "generation: is longer than 200 bytes"
	case !utf8.ValidString(id) || strings.ContainsFunc(id, unicode.IsControl):
		return "generation: holds control characters or is no UTF-8"
	default:
		return ""
	}
}

// refusedRules makes the one error for all that is wrong; nil when there is
// nothing.
func refusedRules(all []fault.Violation) error {
	if len(all) == 0 {
		return nil
	}
	e := fault.New(fault.Invalid, all[0].Code, "%s", all[0].Detail)
	e.Violations = all
	return e
}

// packed are the request's rules as they are to be stored, without ids.
func (p *RulePost) packed(owner rule.Owner, run string, at time.Time) []*rule.Packed {
	all := make([]*rule.Packed, len(p.Rules))
	for i := range p.Rules {
		all[i] = packNew(p.Rules[i], owner, run, at)
	}
	return all
}

// packNew packs a rule as somebody wants it.
func packNew(r rule.Rule, owner rule.Owner, run string, at time.Time) *rule.Packed {
	r.ID, r.Creator, r.CreatedBy, r.Run = 0, owner.Creator, owner.Username, run
	r.CreatedAt, r.UpdatedAt, r.Revision = at, at, 0
	return rule.Pack(&r)
}
