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
	if digest == ([sha256.Size]byte{}) {
		return owner, "", nil
	}
	held, err := tx.RunByToken(ctx, digest)
	switch {
	case errors.Is(err, ErrNotFound):
		return owner, "", nil
	case err != nil:
		return rule.Owner{}, "", err
	case held.Ended:
		return rule.Owner{}, "", fault.New(fault.Conflict, CodeRunEnded,
			"the token belongs to an attempt of run %s that is over; nothing was stored", held.Run)
	}
	owner.Step = held.Step
	return owner, string(held.Run), nil
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
