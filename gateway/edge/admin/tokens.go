package admin

import (
	"bytes"
	"cmp"
	"iter"
	"net/http"
	"time"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

const (
	day = 24 * time.Hour
	// defaultDays and maxDays are how long a token is good when nobody says so, and
	// the most that may be asked for.
	defaultDays = 90
	maxDays     = 3650
)

// TokenLimits bound personal access tokens.
type TokenLimits struct {
	// MaxAge is the longest that a token may be good; 0 means 3,650 days, which is
	// the most in any case.
	MaxAge time.Duration
	// AllowUnlimited lets people make tokens without end.
	AllowUnlimited bool
}

// expires is when a token ends that is made now: after so many days, by default
// after 90 or as many as are allowed, or never.
func (l TokenLimits) expires(now time.Time, days *int, never bool) (time.Time, error) {
	longest := maxDays * day
	if l.MaxAge > 0 {
		longest = min(longest, l.MaxAge)
	}
	switch {
	case never && l.AllowUnlimited:
		return time.Time{}, nil
	case never:
		return time.Time{}, fault.New(fault.Unprocessable, codeBadDays,
			"expires_in_days may not be null: tokens without end are not allowed here (access.tokens.allowUnlimited)")
	case days == nil:
		return now.Add(min(defaultDays*day, longest)), nil
	case time.Duration(*days)*day > longest:
		return time.Time{}, fault.New(fault.Unprocessable, codeBadDays,
			"expires_in_days may be at most %d here (access.tokens.maxAge)", longest/day)
	}
	return now.Add(time.Duration(*days) * day), nil
}

// stored is the caller's user as it is stored, or nil.
func (a *api) stored(caller rest.Caller) *access.User {
	if u := caller.Who.User(); u != nil {
		return u
	}
	return a.set().UserOf(caller.Issuer, caller.Subject)
}

func (a *api) createToken(w http.ResponseWriter, r *http.Request, caller rest.Caller) error {
	if caller.Personal() != nil {
		return fault.New(fault.Denied, authn.CodeLoginRequired, "a personal access token cannot make another one; log in")
	}
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	raw, err := a.rest.ReadBody(w, r, rest.MaxBody, rest.MediaJSON)
	if err != nil {
		return err
	}
	in, err := readToken(raw)
	if err != nil {
		return err
	}
	expires, err := a.Limits.expires(a.Clock(), in.days, in.never)
	if err != nil {
		return err
	}
	scopes, err := caller.CheckScopes(in.scopes)
	if err != nil {
		return err
	}
	u := a.stored(caller)
	if u == nil { // who logs in for the first time is stored in the background
		return fault.New(fault.Unavailable, codeNotYetKnown, "you are not known here yet; try again in a moment").After(time.Second)
	}
	fresh := pat.New()
	t, err := a.Registry.CreateToken(r.Context(), caller.Actor, registry.TokenInput{
		User: u.ID, Name: in.name, Digest: fresh.Digest(), Prefix: fresh.Prefix(), Scopes: scopes, Expires: expires,
	}, c)
	if err != nil {
		return err
	}
	if !c.DryRun {
		w.Header().Set("Location", TokensPath+"/"+t.ID.String())
	}
	return rest.WriteJSON(w, http.StatusCreated, NewToken{Token: renderToken(&t), Secret: fresh.Reveal()})
}

// ownToken finds a token of the caller's. One of somebody else is not there.
func (a *api) ownToken(r *http.Request, caller rest.Caller) (*access.Token, error) {
	id, err := pathID(r, "id", noToken)
	if err != nil {
		return nil, err
	}
	t, u := a.set().Token(id), a.stored(caller)
	if t == nil || u == nil || t.User != u.ID {
		return nil, noToken()
	}
	return t, nil
}

func (a *api) getToken(w http.ResponseWriter, r *http.Request, caller rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	t, err := a.ownToken(r, caller)
	if err != nil {
		return err
	}
	return rest.WriteJSON(w, http.StatusOK, renderToken(t))
}

func (a *api) revokeOwnToken(w http.ResponseWriter, r *http.Request, caller rest.Caller) error {
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	t, err := a.ownToken(r, caller)
	if err != nil {
		return err
	}
	return a.revoke(w, r, caller, t.ID, c)
}

func (a *api) revokeToken(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	id, c, err := target(r, "id", noToken)
	if err != nil {
		return err
	}
	return a.revoke(w, r, who, id, c)
}

func (a *api) revoke(w http.ResponseWriter, r *http.Request, who rest.Caller, id access.ID, c registry.Change) error {
	if err := a.Registry.RevokeToken(r.Context(), who.Actor, id, c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (a *api) listOwnTokens(w http.ResponseWriter, r *http.Request, caller rest.Caller) error {
	q := rest.ReadQuery(r, "limit", "cursor")
	limit := q.Limit()
	_, after := readTokenPlace(q)
	if err := q.Err(); err != nil {
		return err
	}
	out := TokenPage{Items: []Token{}}
	if u := a.stored(caller); u != nil {
		out.Items, out.NextCursor = page(listTokens, tokensOf(a.set(), u.ID, after), limit, tokenKey,
			func(t *access.Token) (Token, bool) { return renderToken(t), true })
	}
	return rest.WriteJSON(w, http.StatusOK, out)
}

func (a *api) listAllTokens(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "user_id", "limit", "cursor")
	limit := q.Limit()
	user, token := readTokenPlace(q)
	var of access.ID
	if q.Has("user_id") {
		var ok bool
		if of, ok = parseID(q.Get("user_id")); !ok {
			q.Add("user_id is a user's uuid")
		}
	}
	if err := q.Err(); err != nil {
		return err
	}
	set := a.set()
	tokens := allTokens(set, user, token)
	if q.Has("user_id") {
		tokens = tokensOf(set, of, token)
	}
	var out OwnedTokenPage
	out.Items, out.NextCursor = page(listTokens, tokens, limit, tokenKey,
		func(t *access.Token) (OwnedToken, bool) { return renderOwned(set, t), true })
	return rest.WriteJSON(w, http.StatusOK, out)
}

// tokenKey is the place of a token in a list by owner, then id.
func tokenKey(t *access.Token) string { return t.User.String() + between + t.ID.String() }

func readTokenPlace(q *rest.Parameters) (user, token access.ID) {
	user, text := listTokens.afterPair(q)
	if text != "" {
		var ok bool
		if token, ok = parseID(text); !ok {
			badCursor(q)
		}
	}
	return user, token
}

// tokensOf are a user's tokens behind an id, by id.
func tokensOf(set *access.Set, user, after access.ID) iter.Seq[*access.Token] {
	return func(yield func(*access.Token) bool) {
		for t := range set.TokensOf(user) {
			if bytes.Compare(t.ID[:], after[:]) > 0 && !yield(t) {
				return
			}
		}
	}
}

// allTokens are everybody's tokens behind a place, by owner, then id.
func allTokens(set *access.Set, user, after access.ID) iter.Seq[*access.Token] {
	return func(yield func(*access.Token) bool) {
		for t := range tokensOf(set, user, after) {
			if !yield(t) {
				return
			}
		}
		for u := range set.UsersAfter(user) {
			for t := range set.TokensOf(u.ID) {
				if !yield(t) {
					return
				}
			}
		}
	}
}

func renderToken(t *access.Token) Token {
	return Token{
		ID: t.ID.String(), Name: t.Name, Prefix: t.Prefix, Scopes: append([]string{}, t.Scopes...),
		CreatedAt: t.CreatedAt.UTC(), ExpiresAt: timeOrNil(t.Expires), LastUsedAt: timeOrNil(t.LastUsed),
		LastUsedIP: t.LastAddress, RevokedAt: timeOrNil(t.RevokedAt),
	}
}

func renderOwned(set *access.Set, t *access.Token) OwnedToken {
	out := OwnedToken{Token: renderToken(t), UserID: t.User.String(), RevokedBy: t.RevokedBy}
	if u := set.User(t.User); u != nil {
		out.Email, out.Username = u.Email, cmp.Or(u.Username, u.Email)
	}
	return out
}
