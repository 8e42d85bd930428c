package registry

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// Seen is what a verified token, or the identity provider when it was asked, says
// of a user.
type Seen struct {
	// Issuer and Subject are the user's key.
	Issuer, Subject string
	// Username and Name are what people read; empty keeps what is known.
	Username, Name string
	// Email is kept when the primary issuer says that it is verified. An address that
	// is not is dropped together with the one that was known; empty keeps what is
	// known.
	Email         string
	EmailVerified bool
	// Primary says that the issuer is the one whose addresses bind users that were
	// made by e-mail.
	Primary bool
	// Groups are the names of all groups that the claim gives, after mapping; nil
	// when there was no claim. Everyone is passed over.
	Groups []string
	// Admits says which of Groups are made when there are none of that name; nil
	// has none made.
	Admits func(name string) bool
	// IssuedAt is the token's iat, or when the identity provider was asked.
	IssuedAt time.Time
}

// maxSeen bounds how many users one transaction is about.
const maxSeen = 500

// SeenUser keeps what a token says of its user: it makes or binds the user's
// record, and replaces their memberships by the source idp_sync as a whole, unless
// a token that is as new was seen before. It writes nothing when it has nothing
// new, and is not for the path of a request.
func (s *Service) SeenUser(ctx context.Context, seen Seen) error {
	return s.SeenUsers(ctx, []Seen{seen})
}

// SeenUsers is SeenUser for many, in as few transactions as may be. What cannot be
// kept is left out and told; the rest is kept all the same.
func (s *Service) SeenUsers(ctx context.Context, all []Seen) error {
	fresh, bad := s.freshOf(ctx, newestOf(all))
	for chunk := range slices.Chunk(fresh, maxSeen) {
		err := s.changeAccessWithin(ctx, accessTimeout, Muster(), false, func(x *decision) error {
			for i := range chunk {
				if err := x.see(&chunk[i]); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return errors.Join(append(bad, err)...)
		}
	}
	return errors.Join(bad...)
}

// newestOf keeps the newest token of each user that tells groups, or else the
// newest, so that no record changes twice in one transaction.
func newestOf(all []Seen) []Seen {
	type key struct{ issuer, subject string }
	place := make(map[key]int, len(all))
	var out []Seen
	for _, one := range all {
		k := key{one.Issuer, one.Subject}
		at, known := place[k]
		switch {
		case !known:
			place[k] = len(out)
			out = append(out, one)
		case (one.Groups != nil) != (out[at].Groups != nil):
			if one.Groups != nil {
				out[at] = one
			}
		case one.IssuedAt.After(out[at].IssuedAt):
			out[at] = one
		}
	}
	return out
}

// freshOf are those that there is anything to keep of, and what is wrong with
// others. What is news over the snapshot at hand the transaction decides anew. What
// is none may be some to another replica, of which this one has not heard yet: it
// is asked again over what the store has by then.
func (s *Service) freshOf(ctx context.Context, all []Seen) (fresh []Seen, bad []error) {
	fresh, known, bad := s.sift(all)
	if len(known) == 0 {
		return fresh, bad
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.WriteTimeout)
	defer cancel()
	if err := s.refresh(ctx); err != nil {
		return fresh, append(bad, err)
	}
	again, _, worse := s.sift(known)
	return append(fresh, again...), append(bad, worse...)
}

// sift parts those that the snapshot at hand has news of from those that it knows
// all of, and tells what is wrong with the rest.
func (s *Service) sift(all []Seen) (fresh, known []Seen, bad []error) {
	for _, one := range all {
		switch news, err := s.news(&one); {
		case err != nil:
			bad = append(bad, err)
		case news:
			fresh = append(fresh, one)
		default:
			known = append(known, one)
		}
	}
	return fresh, known, bad
}

// news reports whether there is anything to keep, over the snapshot at hand.
func (s *Service) news(seen *Seen) (bool, error) {
	if err := checkSeen(seen); err != nil {
		return false, err
	}
	seen.IssuedAt = stored(seen.IssuedAt)
	seen.Username, seen.Name = storable(seen.Username), storable(seen.Name)
	x := &decision{set: s.Snapshot().Access, now: s.now()}
	if err := x.see(seen); err != nil {
		return false, err
	}
	return !x.delta.Empty(), nil
}

func checkSeen(seen *Seen) error {
	for _, text := range []struct{ what, is string }{{"iss", seen.Issuer}, {"sub", seen.Subject}} {
		why := badText(text.is)
		if text.is == "" {
			why = "is missing"
		}
		if why != "" {
			return fault.New(fault.Unprocessable, "bad_user", "the claim %s %s, so the user cannot be kept", text.what, why)
		}
	}
	return nil
}

// see takes one token in.
func (x *decision) see(seen *Seen) error {
	email := seen.trusted()
	var byEmail *access.User
	if email != "" {
		byEmail = x.set.UnboundByEmail(access.FoldEmail(email))
	}
	known := x.set.UserOf(seen.Issuer, seen.Subject)
	if known != nil && byEmail != nil && (!byEmail.Active || !seen.newer(known)) {
		// Who was shut out by that record is not to be let in through another; and what
		// an old token proves may not be theirs any more.
		byEmail = nil
	}
	var now access.User
	var part access.Delta
	switch {
	case known != nil:
		now = *known
	case byEmail != nil:
		now = *byEmail
		now.Issuer, now.Subject = seen.Issuer, seen.Subject
	default:
		id, err := newAccessID()
		if err != nil {
			return err
		}
		now = access.User{ID: id, Issuer: seen.Issuer, Subject: seen.Subject, Active: true, CreatedAt: x.now}
	}
	if known == nil || seen.newer(known) {
		now.Username, now.Name = cmp.Or(seen.Username, now.Username), cmp.Or(seen.Name, now.Name)
		if seen.Email != "" {
			now.Email = email
		}
	}
	x.actor = Actor{
		Subject: seen.Subject, Issuer: seen.Issuer, Username: now.Username, User: now.ID.String(),
	}
	x.keep(known, byEmail, &now, &part)
	if seen.Groups != nil && seen.IssuedAt.After(now.SyncedAt) {
		return x.sync(seen, known, &now, part)
	}
	if !part.Empty() {
		x.do(part)
	}
	return nil
}

// trusted is the e-mail address, when it is one that says who somebody is.
func (s *Seen) trusted() string {
	if !s.Primary || !s.EmailVerified || access.CheckEmail(s.Email) != nil {
		return ""
	}
	return s.Email
}

// newer reports whether the token says more than the record knows.
func (s *Seen) newer(u *access.User) bool {
	if s.Groups != nil {
		return s.IssuedAt.After(u.SyncedAt)
	}
	return s.IssuedAt.After(u.SyncedAt) && s.IssuedAt.After(u.UpdatedAt)
}

// keep works out what becomes of the record itself: made, bound, changed, or merged
// with one that was made by e-mail after this one was seen first.
func (x *decision) keep(known, byEmail, now *access.User, part *access.Delta) {
	action, before := ActionUserUpdated, known
	var merged *access.ID
	switch {
	case known == nil && byEmail == nil:
		action = ActionUserCreated
	case known == nil:
		action, before = ActionUserBound, byEmail
	case byEmail != nil:
		action, before, merged = ActionUserBound, byEmail, &byEmail.ID
		x.takeOver(byEmail.ID, now.ID, part)
	case *now == *known:
		return
	}
	now.UpdatedAt = x.now
	now.Revision++
	part.Users = append(part.Users, *now)
	after := userForAudit(now)
	after.Merged = merged
	if before == nil {
		x.note(action, userResource(now.ID), nil, after)
		return
	}
	x.note(action, userResource(now.ID), userForAudit(before), after)
}

// takeOver gives one user the memberships of another, who goes.
func (x *decision) takeOver(from, to access.ID, part *access.Delta) {
	for m := range x.set.GroupsOf(from) {
		moved := *m
		moved.User = to
		if x.set.Member(moved.MemberKey) == nil {
			part.Members = append(part.Members, moved)
		}
	}
	part.GoneUsers = append(part.GoneUsers, from)
}

// sync replaces a user's memberships by the identity provider: what differs is
// written, so that no key goes and comes back (docs/adr/0021).
func (x *decision) sync(seen *Seen, known, now *access.User, part access.Delta) error {
	before := *now
	now.SyncedAt = seen.IssuedAt
	if now.ConfirmedAt = seen.IssuedAt; now.ConfirmedAt.After(x.now) {
		now.ConfirmedAt = x.now // the issuer's clock is ahead
	}
	if now.ConfirmedAt.Before(before.ConfirmedAt) {
		now.ConfirmedAt = before.ConfirmedAt
	}
	part.Users = []access.User{*now}
	x.do(part)
	wanted, err := x.wanted(seen)
	if err != nil {
		return err
	}
	var have []access.ID
	var change access.Delta
	for m := range x.set.GroupsOf(now.ID) {
		if m.Source != access.SourceSync {
			continue
		}
		have = append(have, m.Group)
		if !wanted[m.Group] {
			change.GoneMembers = append(change.GoneMembers, m.MemberKey)
		}
		delete(wanted, m.Group)
	}
	for id := range wanted {
		key := access.MemberKey{User: now.ID, Group: id, Source: access.SourceSync}
		change.Members = append(change.Members, access.Member{MemberKey: key, AddedAt: x.now, AddedBy: CreatedBySync})
	}
	if change.Empty() {
		return nil
	}
	was := x.syncJSON(have, time.Time{})
	if known != nil {
		was.IssuedAt = atOrNil(known.SyncedAt)
	}
	x.do(change)
	x.note(ActionGroupsSynced, userResource(now.ID), was, x.syncJSON(syncedGroups(x.set, now.ID), seen.IssuedAt))
	return nil
}

func syncedGroups(set *access.Set, user access.ID) (all []access.ID) {
	for m := range set.GroupsOf(user) {
		if m.Source == access.SourceSync {
			all = append(all, m.Group)
		}
	}
	return all
}

// wanted are the groups that a token names, made where they may be.
func (x *decision) wanted(seen *Seen) (map[access.ID]bool, error) {
	out := make(map[access.ID]bool, len(seen.Groups))
	for _, name := range seen.Groups {
		if name == access.Everyone {
			continue
		}
		if g := x.set.GroupByName(name); g != nil {
			out[g.ID] = true
			continue
		}
		if seen.Admits == nil || !seen.Admits(name) || access.CheckGroupName(name) != nil {
			continue
		}
		g, err := x.newGroup(name, "", CreatedBySync, false)
		if err != nil {
			return nil, err
		}
		out[g.ID] = true
	}
	return out, nil
}

// syncedJSON is what a token gave somebody, as the audit log has it: of very many
// groups the first ones, and a digest over all names.
type syncedJSON struct {
	Groups   []string   `json:"groups"`
	Count    int        `json:"count"`
	SHA256   string     `json:"sha256,omitempty"`
	IssuedAt *time.Time `json:"issued_at,omitempty"`
}

func (x *decision) syncJSON(groups []access.ID, issued time.Time) *syncedJSON {
	names := make([]string, 0, len(groups))
	all := make([][2]string, 0, len(groups))
	for _, id := range groups {
		name := groupName(x.set, id)
		names, all = append(names, name), append(all, [2]string{name})
	}
	slices.Sort(names)
	out := &syncedJSON{Groups: cut(names, maxForeign), Count: len(names), IssuedAt: atOrNil(issued)}
	if len(names) > maxForeign {
		out.SHA256 = digestOf(all).SHA256
	}
	return out
}
