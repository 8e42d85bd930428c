package registry

import (
	"context"
	"crypto/sha256"
	"errors"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/rule"
	"github.com/muster-fleet/muster/registry/run"
)

// ownerOf says who owns what is posted with a token: its creator, in the step of
// the run whose token it is. Outside runs the step and the run are empty. With the
// token of an attempt that is over it is run_ended.
func (s *Service) ownerOf(
	ctx context.Context, tx Tx, c rule.Creator, username string, digest [sha256.Size]byte,
) (owner rule.Owner, of string, err error) {
	owner = rule.Owner{
		Creator:  rule.Creator{Issuer: storable(c.Issuer), Subject: storable(c.Subject)},
		Username: storable(username),
	}
	held, err := s.runOf(ctx, tx, digest)
	if err != nil {
		return rule.Owner{}, "", err
	}
	owner.Step = held.Step
	return owner, string(held.Run), nil
}

// runOf says in which run something is done with a token; the zero TokenHolder
// outside runs. With the token of an attempt that is over it is run_ended.
func (s *Service) runOf(ctx context.Context, tx Tx, digest [sha256.Size]byte) (TokenHolder, error) {
	if digest == ([sha256.Size]byte{}) {
		return TokenHolder{}, nil
	}
	held, err := tx.RunByToken(ctx, digest)
	switch {
	case errors.Is(err, ErrNotFound):
		return TokenHolder{}, nil
	case err != nil:
		return TokenHolder{}, err
	case held.Ended:
		return TokenHolder{}, fault.New(fault.Conflict, CodeRunEnded,
			"the token belongs to an attempt of run %s that is over; nothing was changed", held.Run)
	}
	return held, nil
}

// removerOf says whose rules are to go when somebody asks to remove those of a
// creator: with a run's token those of its step, and no other step's.
func (s *Service) removerOf(ctx context.Context, tx Tx, actor Actor, c rule.Creator) (owner rule.Owner, of string, err error) {
	owner, of, err = s.ownerOf(ctx, tx, c, actor.Username, actor.Bearer)
	switch {
	case err != nil:
		return rule.Owner{}, "", err
	case of == "":
		owner.Step = c.Step
	case c.Step != "" && c.Step != owner.Step:
		return rule.Owner{}, "", fault.New(fault.Denied, "denied",
			"the token belongs to a run of %s, and removes the rules of that step alone, not those of %s", shown(owner.Step), shown(c.Step))
	}
	return owner, of, nil
}

// countRun adds what a post did to the counts of its run.
func (s *Service) countRun(ctx context.Context, tx Tx, of string, p *RulePosted) error {
	if of == "" {
		return nil
	}
	return tx.AddRunCounts(ctx, run.ID(of), run.Counts{
		Created: int64(len(p.Created)), Ignored: int64(len(p.Ignored)), Deleted: int64(len(p.Deleted)),
	})
}
