package authz

import (
	"errors"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// Config of an Access.
type Config struct {
	// RoleMapping is access.roleMapping; nil means DefaultMapping, an empty one maps
	// nothing.
	RoleMapping map[string]string
	// GroupPattern matches, as a whole, the names of groups that the identity
	// provider may create; nil admits none.
	GroupPattern *regexp.Regexp
	// Freshness is for how long stored memberships of the identity provider count
	// for personal access tokens after they were last found true; 0 means 24 h.
	Freshness time.Duration
	// Clock tells the time; nil means time.Now.
	Clock func() time.Time
}

// DefaultFreshness is access.idpFreshness when nothing is said.
const DefaultFreshness = 24 * time.Hour

// Access answers what callers may do, from the newest snapshot. It is safe for
// concurrent use.
type Access struct {
	types     *Types
	snapshots func() *registry.Snapshot
	mapping   []mapped
	pattern   *regexp.Regexp
	freshness time.Duration
	now       func() time.Time
}

// NewAccess returns an Access over the newest snapshot.
func NewAccess(c Config, types *Types, snapshots func() *registry.Snapshot) (*Access, error) {
	if types == nil || snapshots == nil {
		return nil, errors.New("authz: types and snapshots are required")
	}
	if c.RoleMapping == nil {
		c.RoleMapping = DefaultMapping()
	}
	if c.Freshness <= 0 {
		c.Freshness = DefaultFreshness
	}
	if c.Clock == nil {
		c.Clock = time.Now
	}
	mapping, err := newMapping(c.RoleMapping)
	if err != nil {
		return nil, err
	}
	return &Access{
		types: types, snapshots: snapshots, mapping: mapping, pattern: c.GroupPattern, freshness: c.Freshness, now: c.Clock,
	}, nil
}

// Types are the resource types that the answers are about.
func (a *Access) Types() *Types { return a.types }

// Who is a caller with what decides about them, as of one moment. The zero value
// may nothing. It is passed by value and must not outlive its request.
type Who struct {
	access   *Access
	snapshot *registry.Snapshot
	now      time.Time

	principal *token.Principal
	personal  *access.Token
	user      *access.User
	// claimed are names of groups that the token gives itself, met the entries of
	// the role mapping that it meets.
	claimed []string
	met     uint64
	sync    bool

	// plain turns the power of members of Admin off.
	plain bool
	// reading is whether the caller was let in to a call that changes nothing.
	reading bool
}

// Who returns a caller whose token was verified. Its error is 401 user_deactivated:
// users are looked up at each use. It asks nobody and allocates nothing, except for
// a token that claims a system group's name.
func (a *Access) Who(c authn.Caller) (Who, error) {
	p := c.Principal
	if p == nil {
		return Who{}, fault.New(fault.Unauthenticated, token.CodeInvalid, "nobody was authenticated")
	}
	snapshot := a.snapshots()
	set := snapshot.Access
	w := Who{access: a, snapshot: snapshot, now: a.now(), principal: p, personal: c.Personal}
	if c.Personal != nil {
		if w.user = set.User(c.Personal.User); w.user == nil {
			return Who{}, deactivated()
		}
		w.sync = !w.user.ConfirmedAt.IsZero() && w.now.Sub(w.user.ConfirmedAt) <= a.freshness
	} else {
		w.user = set.UserOf(p.Issuer, p.Subject)
		w.claimed, w.met = claimed(p), a.mappedBy(p)
	}
	if w.user != nil && !w.user.Active {
		return Who{}, deactivated()
	}
	return w, nil
}

func deactivated() error {
	return fault.New(fault.Unauthenticated, "user_deactivated", "this user is deactivated; an administrator can activate them")
}

// Again is the caller as of now, for calls that outlast a moment. Its errors are
// Who's, and 401 invalid_token for a token that has ended since, or was revoked.
func (w *Who) Again() (Who, error) {
	if w.access == nil {
		return Who{}, nil // who may nothing may nothing later either
	}
	c := authn.Caller{Principal: w.principal, Personal: w.personal}
	now, ends := w.access.now(), w.principal.Expires
	if w.personal != nil {
		t := w.access.snapshots().Access.Token(w.personal.ID)
		if t == nil || !t.RevokedAt.IsZero() {
			return Who{}, fault.New(fault.Unauthenticated, token.CodeInvalid, "the token was revoked")
		}
		c.Personal = t
	}
	if !ends.IsZero() && !now.Before(ends) {
		return Who{}, fault.New(fault.Unauthenticated, token.CodeInvalid, "the token has expired")
	}
	again, err := w.access.Who(c)
	again.plain, again.reading = w.plain, w.reading
	return again, err
}

// isAdmin looks for Admin among stored memberships and what the role mapping
// gives; claims alone make nobody an administrator.
func (w *Who) isAdmin(l *access.Look) bool {
	if l.IsAdmin(&access.Who{User: w.user, Sync: w.sync}) {
		return true
	}
	for i := range w.access.mapping {
		if w.met&(1<<i) != 0 && l.IsAdmin(&access.Who{Named: w.access.mapping[i].name}) {
			return true
		}
	}
	return false
}

// Snapshot is the one that the answers are made from.
func (w *Who) Snapshot() *registry.Snapshot { return w.snapshot }

// User is the stored record of the caller, nil while there is none.
func (w *Who) User() *access.User { return w.user }

// Personal is the record of the personal access token that the caller has shown;
// nil for one of a login.
func (w *Who) Personal() *access.Token { return w.personal }

// Now is the moment that the answers hold for.
func (w *Who) Now() time.Time { return w.now }

// Full is the caller as the set of access knows somebody, with all names of groups:
// to list what counts for them.
func (w *Who) Full() access.Who {
	full := access.Who{User: w.user, Sync: w.sync}
	if w.personal == nil && w.access != nil {
		full.Named = w.access.Named(w.principal)
	}
	return full
}

// Admin reports whether the caller may do what administrators may.
func (w *Who) Admin() bool { return w.member() && !w.plain && w.scoped("", "") }

// member reports whether the caller is a member of Admin.
func (w *Who) member() bool {
	if w.access == nil {
		return false
	}
	l := w.snapshot.Access.LookFor(w.user)
	return w.isAdmin(&l)
}

// May reports whether the caller may reach a resource, whose id is in the form
// that the type's Check returns: as an administrator or by a grant, and within the
// scopes of a personal access token. It asks nobody and allocates nothing.
func (w *Who) May(typ, id string) bool {
	if w.access == nil {
		return false
	}
	t := w.access.types.byKey[typ]
	if t == nil || !w.scoped(typ, id) {
		return false
	}
	l := w.snapshot.Access.Look(w.user, t.Key, id, t.Wildcard)
	if !w.plain && w.isAdmin(&l) || w.reaches(&l) {
		return true
	}
	also, implied := t.Implied[id]
	if !implied {
		return false
	}
	l = w.snapshot.Access.Look(w.user, t.Key, also, t.Wildcard)
	return w.reaches(&l)
}

// reaches asks for grants. The names of groups that a token gives are asked about
// one after the other, where joining them would take memory.
func (w *Who) reaches(l *access.Look) bool {
	if l.Allows(&access.Who{User: w.user, Named: w.claimed, Sync: w.sync}, w.now) {
		return true
	}
	for i := range w.access.mapping {
		if w.met&(1<<i) != 0 && l.Allows(&access.Who{Named: w.access.mapping[i].name}, w.now) {
			return true
		}
	}
	return false
}

// MaySome reports whether the caller may reach any resource of a type.
func (w *Who) MaySome(typ string) bool {
	if w.access == nil || w.access.types.byKey[typ] == nil {
		return false
	}
	if w.Admin() {
		return true
	}
	full := w.Full()
	for g := range w.snapshot.Access.GroupsFor(&full) {
		for grant := range w.snapshot.Access.GrantsOf(g.ID) {
			if grant.Type == typ && grant.InForce(w.now) && w.scoped(typ, grant.Resource) {
				return true
			}
		}
	}
	return w.personal != nil && slices.ContainsFunc(w.personal.Scopes, func(s string) bool {
		t, id, ok := strings.Cut(s, ":")
		// Of an administrator, or of who was granted everything of the type.
		return ok && t == typ && w.May(typ, id)
	})
}

// WithoutAdmin is the caller without the power of administrators.
func (w Who) WithoutAdmin() Who {
	w.plain = true
	return w
}

// grantedResources are the resources of a type that grants name, sorted.
func grantedResources(s *registry.Snapshot, typ string) []string {
	found := map[string]bool{}
	for g := range s.Access.GrantsAfter(access.ID{}) {
		if g.Type == typ && g.Resource != Wildcard {
			found[g.Resource] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}
