package registry

import (
	"bytes"
	"compress/flate"
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
)

// stage adds the rules of a chunk to its generation. The first chunk of one that
// the store has not seen starts it, and drops the creator's uncommitted one.
func (s *Service) stage(ctx context.Context, actor Actor, p RulePost) (RulePosted, error) {
	var answer RulePosted
	err := s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		owner, run, err := s.ownerOf(ctx, tx, p.Creator, p.CreatedBy, p.TokenDigest)
		if err != nil {
			return err
		}
		g, dropped, err := s.openGeneration(ctx, tx, owner.Creator, p.Generation)
		if err != nil {
			return err
		}
		change := newRuleChange(nil, p.Strategy, owner, s.now(), tx.Revision())
		staged := p.packed(owner, run, s.now())
		for _, r := range staged {
			change.answer.Created = append(change.answer.Created, change.named(r.Name(), owner))
		}
		change.sort()
		clashes, err := tx.Stage(ctx, g.Number, staged)
		if err != nil {
			return err
		}
		if len(clashes) > 0 {
			return clashing(p, clashes)
		}
		answer = change.answer
		return auditStaged(ctx, tx, actor, s.now(), change, g, dropped)
	}, &written{})
	if err != nil {
		return RulePosted{}, err
	}
	return answer, nil
}

// clashing refuses names that the generation has already with other content: one
// of the two would be lost without a word.
func clashing(p RulePost, names []string) error {
	at := make(map[string]int, len(p.Rules))
	for i := range p.Rules {
		at[p.Rules[i].Name] = i
	}
	all := make([]fault.Violation, len(names))
	for i, name := range names {
		all[i] = fault.Violation{
			Code: rule.CodeBadRules, Pointer: fmt.Sprintf("/rules/%d/name", at[name]),
			Detail: fmt.Sprintf("rule %s: name: an earlier chunk of this generation has it with other content; "+
				"a name may come once", shown(name)),
		}
	}
	return refusedRules(all)
}

// openGeneration finds the generation of a chunk, or starts it. dropped are those
// that gave way.
func (s *Service) openGeneration(
	ctx context.Context, tx Tx, c rule.Creator, id string,
) (g *Generation, dropped []string, err error) {
	all, err := tx.Generations(ctx, c)
	if err != nil {
		return nil, nil, err
	}
	if g := find(all, id); g != nil {
		return g, nil, s.stillOpen(g)
	}
	for i := range all {
		if all[i].State != GenerationOpen {
			continue
		}
		dropped = append(dropped, all[i].ID)
		if err := s.supersede(ctx, tx, &all[i]); err != nil {
			return nil, nil, err
		}
	}
	g = &Generation{Creator: c, ID: id, State: GenerationOpen, StartedAt: s.now()}
	return g, dropped, tx.PutGeneration(ctx, g)
}

func find(all []Generation, id string) *Generation {
	for i := range all {
		if all[i].ID == id {
			return &all[i]
		}
	}
	return nil
}

func (s *Service) supersede(ctx context.Context, tx Tx, g *Generation) error {
	g.State, g.EndedAt = GenerationSuperseded, s.now()
	return tx.PutGeneration(ctx, g)
}

// stillOpen refuses a generation that takes no more.
func (s *Service) stillOpen(g *Generation) error {
	switch {
	case g.State == GenerationCommitted:
		return superseded(g.ID, "was committed already")
	case g.State == GenerationSuperseded:
		return superseded(g.ID, "was dropped, because a newer one was started, the model gave ids another meaning, or it grew too old")
	case !g.StartedAt.Add(GenerationLife).After(s.now()):
		return superseded(g.ID, fmt.Sprintf("was not committed within %s of its first chunk", GenerationLife))
	default:
		return nil
	}
}

func superseded(id, why string) error {
	return fault.New(fault.Conflict, "generation_superseded",
		"the generation %s %s; start a new one, with an id of its own, and send all rules again", shown(id), why)
}

// CommitRules puts the staged rules of a generation in the place of all rules of
// its creator, in one transaction. Committing again answers the same and changes
// nothing, until another generation is committed. One that is unknown, dropped or
// too old is 409 generation_superseded.
func (s *Service) CommitRules(ctx context.Context, actor Actor, c RuleCommit) (RulePosted, error) {
	if why := badGeneration(c.Generation); why != "" {
		return RulePosted{}, refusedRules([]fault.Violation{
			{Code: rule.CodeBadRules, Pointer: "/generation", Detail: why},
		})
	}
	var did written
	var answer RulePosted
	err := s.writeWithin(ctx, rulesTimeout, func(ctx context.Context, tx Tx) error {
		did = written{}
		owner, run, err := s.ownerOf(ctx, tx, c.Creator, c.CreatedBy, c.TokenDigest)
		if err != nil {
			return err
		}
		all, err := tx.Generations(ctx, owner.Creator)
		if err != nil {
			return err
		}
		g := find(all, c.Generation)
		switch {
		case g == nil:
			return superseded(c.Generation, "is unknown")
		case g.State == GenerationCommitted && g.Answer != nil:
			if answer, err = unpackAnswer(g.Answer); err != nil {
				return err
			}
			return errUnchanged
		case g.State == GenerationCommitted:
			return superseded(g.ID, "was committed, and another one after it")
		}
		if err := s.stillOpen(g); err != nil {
			return err
		}
		change, err := s.commit(ctx, tx, g, owner, &did)
		if err != nil {
			return err
		}
		answer = change.answer
		if err := s.endGeneration(ctx, tx, g, all, &answer); err != nil {
			return err
		}
		if err := s.countRun(ctx, tx, run, &answer); err != nil {
			return err
		}
		return auditRules(ctx, tx, actor, ActionRulesCommitted, s.now(), change, g.ID)
	}, &did)
	if err != nil && !errors.Is(err, errUnchanged) {
		return RulePosted{}, err
	}
	return answer, nil
}

// commit swaps a generation in. It reads the staged rules in pages, since there
// may be a million.
func (s *Service) commit(ctx context.Context, tx Tx, g *Generation, owner rule.Owner, did *written) (*ruleChange, error) {
	now, err := s.current(ctx, tx)
	if err != nil {
		return nil, err
	}
	change := newRuleChange(now.Rules, rule.DeleteAllForUser, owner, s.now(), tx.Revision())
	for after := ""; ; {
		page, err := tx.Staged(ctx, g.Number, after, stagedPage)
		if err != nil {
			return nil, err
		}
		for _, r := range page {
			change.add(r)
		}
		if len(page) < stagedPage {
			break
		}
		after = page[len(page)-1].Name()
	}
	change.finish()
	return change, change.store(ctx, tx, did)
}

// endGeneration keeps the answer for who asks again, and drops the one of the
// commit before.
func (s *Service) endGeneration(ctx context.Context, tx Tx, g *Generation, all []Generation, answer *RulePosted) error {
	for i := range all {
		if all[i].Answer != nil {
			all[i].Answer = nil
			if err := tx.PutGeneration(ctx, &all[i]); err != nil {
				return err
			}
		}
	}
	packed, err := packAnswer(answer)
	if err != nil {
		return err
	}
	g.State, g.EndedAt, g.Answer = GenerationCommitted, s.now(), packed
	return tx.PutGeneration(ctx, g)
}

// StagedRules returns at most limit staged rules behind a place, in the order of
// their places, that meet a filter; next is where to go on, nil at the end. It
// asks the store.
func (s *Service) StagedRules(
	ctx context.Context, f rule.Filter, after StagedPlace, limit int,
) (all []StagedRule, next *StagedPlace, err error) {
	const page = 1000
	model := s.Snapshot().Model
	for {
		got, err := s.store.StagedRules(ctx, after, page)
		if err != nil {
			return nil, nil, err
		}
		for i := range got {
			after = got[i].Place
			if !got[i].Started.Add(GenerationLife).After(s.now()) || !f.Meets(model, &got[i].Rule) {
				continue
			}
			if len(all) == limit {
				return all, &all[limit-1].Place, nil
			}
			all = append(all, got[i])
		}
		if len(got) < page {
			return all, nil, nil
		}
	}
}

// sweepGenerations drops what was not committed in time. Of several replicas the
// first does it; commits do not depend on it.
func (s *Service) sweepGenerations(ctx context.Context) {
	err := s.write(ctx, func(ctx context.Context, tx Tx) error {
		old, err := tx.OpenGenerations(ctx, s.now().Add(-GenerationLife))
		if err != nil {
			return err
		}
		if len(old) == 0 {
			return errUnchanged
		}
		for i := range old {
			if err := s.supersede(ctx, tx, &old[i]); err != nil {
				return err
			}
		}
		return auditDropped(ctx, tx, s.now(), old)
	}, &written{})
	if err != nil && !errors.Is(err, errUnchanged) && ctx.Err() == nil {
		s.log.WarnContext(ctx, "uncommitted generations of rules that are too old could not be removed; it is tried again", "error", err)
	}
}

// answerJSON is how an answer is kept: owners apart, since they are few.
type answerJSON struct {
	Owners  []creatorJSON `json:"owners"`
	Created []namedJSON   `json:"created"`
	Ignored []namedJSON   `json:"ignored"`
	Deleted []namedJSON   `json:"deleted"`
}

type namedJSON struct {
	Name  string `json:"n"`
	Owner int    `json:"o"`
}

func packAnswer(a *RulePosted) ([]byte, error) {
	var out answerJSON
	places := map[*rule.Owner]int{}
	list := func(all []Named) []namedJSON {
		some := make([]namedJSON, len(all))
		for i, n := range all {
			place, known := places[n.CreatedBy]
			if !known {
				place = len(out.Owners)
				places[n.CreatedBy] = place
				out.Owners = append(out.Owners, creatorOf(n.CreatedBy))
			}
			some[i] = namedJSON{n.Name, place}
		}
		return some
	}
	out.Created, out.Ignored, out.Deleted = list(a.Created), list(a.Ignored), list(a.Deleted)
	var data bytes.Buffer
	w, err := flate.NewWriter(&data, flate.BestSpeed)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(json.NewEncoder(w).Encode(out), w.Close()); err != nil {
		return nil, fmt.Errorf("keep the answer of a commit: %w", err)
	}
	return data.Bytes(), nil
}

func unpackAnswer(data []byte) (RulePosted, error) {
	var in answerJSON
	if err := json.NewDecoder(flate.NewReader(bytes.NewReader(data))).Decode(&in); err != nil {
		return RulePosted{}, fmt.Errorf("the kept answer of a commit: %w", err)
	}
	owners := make([]rule.Owner, len(in.Owners))
	for i, o := range in.Owners {
		owners[i] = rule.Owner{Creator: rule.Creator{Issuer: o.Issuer, Subject: o.Subject, Step: o.Step}, Username: o.Username}
	}
	list := func(all []namedJSON) []Named {
		if len(all) == 0 {
			return nil
		}
		some := make([]Named, len(all))
		for i, n := range all {
			some[i] = Named{n.Name, &rule.Owner{}}
			if n.Owner >= 0 && n.Owner < len(owners) {
				some[i].CreatedBy = &owners[n.Owner]
			}
		}
		return some
	}
	return RulePosted{Created: list(in.Created), Ignored: list(in.Ignored), Deleted: list(in.Deleted)}, nil
}
