package authn

import (
	"strings"

	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// CodeLoginRequired refuses a personal access token where only a login will do:
// its token would have to leave Muster, or to make another one.
const CodeLoginRequired = "login_token_required"

// fromPersonal authenticates by a personal access token: its shape and checksum,
// then its digest among those known, then that it is neither revoked nor over and
// that its owner is active (access specification, section 4).
func (a *Authenticator) fromPersonal(raw, address string) (Caller, error) {
	shown, err := pat.Parse(raw)
	if err != nil {
		return Caller{}, badPersonal("it " + err.Error()).Wrap(err)
	}
	if a.options.Access == nil {
		return Caller{}, badPersonal("personal access tokens are not taken here")
	}
	set, now := a.options.Access(), a.options.Clock()
	t := set.TokenByDigest(shown.Digest())
	switch {
	case t == nil:
		return Caller{}, badPersonal("the personal access token is unknown; it may have been removed with its owner")
	case !t.RevokedAt.IsZero():
		return Caller{}, badPersonal("the personal access token was revoked")
	case !t.Expires.IsZero() && !now.Before(t.Expires):
		return Caller{}, badPersonal("the personal access token has expired; make a new one after a login")
	}
	user := set.User(t.User)
	if user == nil || !user.Active {
		return Caller{}, fault.New(fault.Unauthenticated, "user_deactivated", "the owner of the personal access token is deactivated")
	}
	if a.options.TokenUsed != nil {
		a.options.TokenUsed(t.ID, now, address)
	}
	return Caller{Principal: owner(user, t), Token: raw, Personal: t}, nil
}

// owner is the principal that a personal access token stands for. It has no
// groups and roles of its own: what counts of the owner's is stored.
func owner(u *access.User, t *access.Token) *token.Principal {
	return &token.Principal{
		Issuer: u.Issuer, Subject: u.Subject, Username: u.Username, Email: u.Email,
		ID: t.ID.String(), IssuedAt: t.CreatedAt, Expires: t.Expires, Claims: []byte("{}"),
	}
}

func badPersonal(why string) *fault.Error {
	return fault.New(fault.Unauthenticated, token.CodeInvalid, "%s", strings.TrimSpace(why))
}

// ForLogin refuses a caller with a personal access token.
func (a *Authenticator) ForLogin(c Caller) error {
	if c.Personal == nil {
		return nil
	}
	return fault.New(fault.Denied, CodeLoginRequired,
		"this takes a token of a login; a personal access token never leaves Muster and makes no other")
}
