package registry

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// Bounds of personal access tokens.
const (
	// MaxTokenAge is for how long a token may be good at most, unless it has no end.
	MaxTokenAge = 3650 * 24 * time.Hour
	// MaxTokens is how many good tokens a user may have at once.
	MaxTokens = 1000
	// maxScopes bounds the scopes of a token.
	maxScopes = 100
)

// TokenInput is a personal access token to be kept. The token itself stays with
// who made it.
type TokenInput struct {
	User access.ID
	Name string
	// Digest is the SHA-256 of the token as it is sent, Prefix its first 8
	// characters behind mst_.
	Digest [32]byte
	Prefix string
	// Scopes are at least one. That they are no more than the user has the caller
	// has found out.
	Scopes []string
	// Expires is at most MaxTokenAge away, or zero for no end, which is the
	// caller's to allow.
	Expires time.Time
}

// CreateToken keeps a new token of an active user.
func (s *Service) CreateToken(ctx context.Context, a Actor, in TokenInput, c Change) (made access.Token, err error) {
	in.Expires = stored(in.Expires)
	if err := s.checkToken(&in); err != nil {
		return access.Token{}, err
	}
	err = s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		if err := matchesNone("the token", c.IfMatch); err != nil {
			return err
		}
		if err := x.mayHaveToken(&in); err != nil {
			return err
		}
		made = access.Token{
			User: in.User, Name: in.Name, Digest: in.Digest, Prefix: in.Prefix, Scopes: slices.Clone(in.Scopes),
			CreatedAt: x.now, Expires: in.Expires,
		}
		if made.ID, err = newAccessID(); err != nil {
			return err
		}
		x.do(access.Delta{Tokens: []access.Token{made}})
		x.note(ActionTokenCreated, tokenResource(made.ID), nil, tokenForAudit(&made))
		return nil
	})
	if err != nil {
		return access.Token{}, err
	}
	return made, nil
}

// mayHaveToken looks at the owner.
func (x *decision) mayHaveToken(in *TokenInput) error {
	u := x.set.User(in.User)
	switch {
	case u == nil:
		return noUser(in.User)
	case !u.Active:
		return fault.New(fault.Conflict, "user_inactive", "user %s is deactivated and can have no tokens", u.ID)
	case x.set.TokenByDigest(in.Digest) != nil:
		return fault.New(fault.Conflict, "token_exists", "this token is kept already; make another")
	}
	good := 0
	for t := range x.set.TokensOf(in.User) {
		if t.RevokedAt.IsZero() && (t.Expires.IsZero() || x.now.Before(t.Expires)) {
			good++
		}
	}
	if good >= MaxTokens {
		return fault.New(fault.Conflict, "too_many_tokens", "there are %d tokens already; revoke what is not used", good)
	}
	return nil
}

// checkToken finds everything that is wrong with a token's record.
func (s *Service) checkToken(in *TokenInput) error {
	var v violations
	if err := access.CheckTokenName(in.Name); err != nil {
		v.add("bad_name", "/name", "%v", err)
	}
	if n := len(in.Scopes); n == 0 || n > maxScopes {
		v.add("bad_scopes", "/scopes", "has %d scopes; give from 1 to %d", n, maxScopes)
	}
	for i, scope := range in.Scopes {
		if why := badText(scope); why != "" || strings.TrimSpace(scope) == "" {
			v.add("bad_scopes", "/scopes", "number %d is empty, longer than %d bytes or holds control characters", i+1, maxText)
		}
	}
	if why := badText(in.Prefix); why != "" || in.Digest == [32]byte{} {
		v.add("bad_token", "", "the token has no digest or a prefix that cannot be kept")
	}
	switch now := s.now(); {
	case in.Expires.IsZero():
	case !in.Expires.After(now):
		v.add("bad_expires_at", "/expires_at", "is in the past")
	case in.Expires.After(now.Add(MaxTokenAge)):
		v.add("bad_expires_at", "/expires_at", "is more than %d days away", MaxTokenAge/(24*time.Hour))
	}
	return v.err()
}

// RevokeToken makes a token useless for good. Revoking it again is no change. That
// the actor is its owner or an admin the caller has found out.
func (s *Service) RevokeToken(ctx context.Context, a Actor, id access.ID, c Change) error {
	return s.changeAccess(ctx, a, c.DryRun, func(x *decision) error {
		t := x.set.Token(id)
		if t == nil {
			return fault.New(fault.NotFound, "not_found", "there is no token with the id %s", id)
		}
		if err := matchesAccess("the token", 1, c.IfMatch); err != nil {
			return err
		}
		if !t.RevokedAt.IsZero() {
			return nil
		}
		action := ActionTokenRevokedByAdmin
		if x.actor.User == t.User.String() {
			action = ActionTokenRevoked
		}
		before, after := *t, *t
		after.RevokedAt, after.RevokedBy = x.now, x.by()
		x.do(access.Delta{Tokens: []access.Token{after}})
		x.note(action, tokenResource(id), tokenForAudit(&before), tokenForAudit(&after))
		return nil
	})
}
