package registry

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// refusedJSON is what the audit log holds of a refusal, or of several that were the
// same and came while the store was busy.
type refusedJSON struct {
	Count int        `json:"count"`
	First *time.Time `json:"first,omitempty"`
}

// moreJSON counts what was too much to be told one by one.
type moreJSON struct {
	Count  int            `json:"count"`
	ByCode map[string]int `json:"by_code"`
}

// usedJSON is a token's use from a new address.
type usedJSON struct {
	TokenID  string `json:"token_id"`
	Name     string `json:"name,omitempty"`
	Address  string `json:"address"`
	Previous string `json:"previous_address"`
}

// writeWork stores what waited, in one transaction.
func (s *Service) writeWork(
	ctx context.Context, rows []*waiting, more map[string]int, uses map[access.ID]tokenUse,
) error {
	return s.changeAccess(ctx, Muster(), false, func(x *decision) error {
		x.touch(uses)
		for _, w := range rows {
			x.rows = append(x.rows, w.row(x.set))
		}
		if len(more) > 0 {
			all := moreJSON{ByCode: more}
			for _, n := range more {
				all.Count += n
			}
			x.rows = append(x.rows, accessRow{x.now, x.actor, ActionRefusedMore, "access", resultRefused, nil, all})
		}
		return nil
	})
}

// row is the row of the audit log.
func (w *waiting) row(set *access.Set) accessRow {
	if w.action == ActionTokenNewAddress {
		after := usedJSON{TokenID: w.actor.Token, Address: w.to, Previous: w.from}
		if t := set.Token(w.token); t != nil {
			after.Name = t.Name
		}
		return accessRow{w.last, w.actor, w.action, w.resource, resultOK, nil, after}
	}
	after := refusedJSON{Count: w.count}
	if w.count > 1 {
		after.First = &w.first
	}
	return accessRow{w.last, w.actor, w.action, w.resource, w.code, nil, after}
}

// touch stores the last uses of tokens, of those that no other replica has just
// stored.
func (x *decision) touch(uses map[access.ID]tokenUse) {
	var part access.Delta
	for id, use := range uses {
		t := x.set.Token(id)
		if t == nil || !use.at.After(t.LastUsed) || use.at.Sub(t.LastUsed) < useEvery && use.address == t.LastAddress {
			continue
		}
		now := *t
		now.LastUsed, now.LastAddress = use.at, use.address
		part.Tokens = append(part.Tokens, now)
	}
	if !part.Empty() {
		x.do(part)
	}
}

// tokenGone reports whether a token cannot be used any more.
func (s *Service) tokenGone(id access.ID) bool {
	t := s.Snapshot().Access.Token(id)
	return t == nil || !t.RevokedAt.IsZero()
}
