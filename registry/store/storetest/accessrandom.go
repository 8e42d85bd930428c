package storetest

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// accessRun does the same to two replicas and to the model.
type accessRun struct {
	t     *testing.T
	all   []*registry.Service
	model *naive
	clock *clock
	token byte
}

// drawn writes a set as the model does.
func drawn(set *access.Set) string {
	var all []string
	for u := range set.UsersAfter(access.ID{}) {
		good, tokens := 0, 0
		for k := range set.TokensOf(u.ID) {
			tokens++
			if k.RevokedAt.IsZero() {
				good++
			}
		}
		all = append(all, fmt.Sprintf("user %s %s %s %t, %d of %d tokens", u.Subject, u.Email, u.Username, u.Active, good, tokens))
		groups := map[string]map[access.Source]bool{}
		for m := range set.GroupsOf(u.ID) {
			name := set.Group(m.Group).Name
			if groups[name] == nil {
				groups[name] = map[access.Source]bool{}
			}
			groups[name][m.Source] = true
		}
		for name, have := range groups {
			all = append(all, fmt.Sprintf("member %s/%s of %s by %s", u.Subject, u.Email, name, sourcesOf(have)))
		}
	}
	for g := range set.GroupsAfter("") {
		all = append(all, fmt.Sprintf("group %s %t", g.Name, g.System))
		for r := range set.GrantsOf(g.ID) {
			all = append(all, fmt.Sprintf("grant %s to %s", r.Resource, g.Name))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}

// testAccessRandom holds two replicas to the model, whichever is asked next.
func testAccessRandom(t *testing.T, b Backend) {
	rapid.Check(t, func(rt *rapid.T) {
		c := &clock{at: noon}
		place := b.New(t)
		r := &accessRun{t: t, model: newNaive(), clock: c}
		r.all = append(r.all, service(t, place, newFleet(), func(o *registry.Options) { o.Clock = c.now }, never))
		if b.Shared {
			r.all = append(r.all, service(t, place, newFleet(), func(o *registry.Options) { o.Clock = c.now }, never))
		} else {
			r.all = append(r.all, r.all[0])
		}
		defer r.close() // a round that fails is followed by many that look for a shorter one
		rt.Repeat(map[string]func(*rapid.T){
			"groups":  r.groups,
			"members": r.members,
			"grants":  r.grants,
			"users":   r.users,
			"seen":    r.seen,
			"":        func(*rapid.T) {},
		})
		for i, s := range r.all {
			if _, err := s.CreateGroup(t.Context(), admin, access.Group{Name: fmt.Sprint("end", i)}, sure); err != nil {
				rt.Fatal(err)
			}
			r.model.createGroup(fmt.Sprint("end", i))
		}
		if got := drawn(r.all[1].Snapshot().Access); got != r.model.String() {
			rt.Fatalf("the other replica has\n%s\nnot\n%s", got, r.model)
		}
		r.close()
		again := service(t, place, newFleet())
		r.all = []*registry.Service{again}
		if got := drawn(again.Snapshot().Access); got != r.model.String() {
			rt.Fatalf("after reopening\n%s\nnot\n%s", got, r.model)
		}
	})
}

func (r *accessRun) close() {
	for _, s := range r.all {
		if err := s.Close(r.t.Context()); err != nil {
			r.t.Error(err)
		}
	}
}

// next is the replica to ask, at a later time.
func (r *accessRun) next(rt *rapid.T) *registry.Service {
	r.clock.advance(time.Minute)
	r.model.minute++
	return r.all[rapid.IntRange(0, 1).Draw(rt, "replica")]
}

// same compares the outcome of a change, then everything.
func (r *accessRun) same(rt *rapid.T, s *registry.Service, err error, left, want string) {
	rt.Helper()
	got := "ok"
	if err != nil {
		got = fault.From(err).Code
	}
	if got = strings.TrimSpace(got + " " + left); got != want {
		rt.Fatalf("%s, not %s", got, want)
	}
	if got := drawn(s.Snapshot().Access); err == nil && got != r.model.String() {
		rt.Fatalf("\n%s\nnot\n%s", got, r.model)
	}
}

var groupNames = []string{access.Admin, access.Everyone, "a", "b", "c"}

// groupAt is the id of a group by name, as a caller who looked it up anywhere has
// it; an unknown one when there is none.
func (r *accessRun) groupAt(name string) access.ID {
	var newest *registry.Snapshot
	for _, s := range r.all {
		if snap := s.Snapshot(); newest == nil || snap.Revision > newest.Revision {
			newest = snap
		}
	}
	if g := newest.Access.GroupByName(name); g != nil {
		return g.ID
	}
	return uuid.New()
}

// userAt is a user by subject, or by address for one who is not bound.
func (r *accessRun) userAt(n int, unbound bool) (access.ID, *someone) {
	subject, email := fmt.Sprint("s", n), fmt.Sprintf("s%d@example.org", n)
	var newest *registry.Snapshot
	for _, s := range r.all {
		if snap := s.Snapshot(); newest == nil || snap.Revision > newest.Revision {
			newest = snap
		}
	}
	u, who := newest.Access.UserOf(issuer, subject), r.model.of(subject)
	if unbound {
		u, who = newest.Access.UnboundByEmail(email), r.model.unbound(email)
	}
	if u == nil {
		return uuid.New(), who
	}
	return u.ID, who
}

func (r *accessRun) groups(rt *rapid.T) {
	s := r.next(rt)
	name, to := rapid.SampledFrom(groupNames).Draw(rt, "group"), rapid.SampledFrom(groupNames).Draw(rt, "to")
	dry := registry.Change{DryRun: rapid.IntRange(0, 5).Draw(rt, "dry") == 0}
	id := r.groupAt(name)
	var err error
	var want string
	model := r.model
	if dry.DryRun {
		model = newNaive() // its state is not looked at
	}
	switch rapid.IntRange(0, 3).Draw(rt, "what") {
	case 0, 1:
		_, err = s.CreateGroup(r.t.Context(), admin, access.Group{Name: name}, dry)
		want = model.createGroup(name)
	case 2:
		_, err = s.UpdateGroup(r.t.Context(), admin, id, registry.GroupPatch{Name: &to}, dry)
		want = model.rename(name, to)
	default:
		err = s.DeleteGroup(r.t.Context(), admin, id, dry)
		want = model.deleteGroup(name)
	}
	if dry.DryRun {
		return
	}
	r.same(rt, s, err, "", want)
}

func (r *accessRun) members(rt *rapid.T) {
	s := r.next(rt)
	name := rapid.SampledFrom(groupNames).Draw(rt, "group")
	id, who := r.userAt(rapid.IntRange(0, 2).Draw(rt, "user"), rapid.Bool().Draw(rt, "unbound"))
	if rapid.Bool().Draw(rt, "add") {
		_, _, err := s.AddMember(r.t.Context(), admin, r.groupAt(name), id.String(), sure)
		r.same(rt, s, err, "", r.model.addMember(name, who))
		return
	}
	left, err := s.RemoveMember(r.t.Context(), admin, r.groupAt(name), id, sure)
	have := map[access.Source]bool{}
	if err == nil || fault.Is(err, "not_admin_source") {
		for _, source := range left {
			have[source] = true
		}
	}
	r.same(rt, s, err, sourcesOf(have), r.model.removeMember(name, who))
}

func (r *accessRun) grants(rt *rapid.T) {
	s := r.next(rt)
	name := rapid.SampledFrom(groupNames).Draw(rt, "group")
	resource := rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "resource")
	group := r.groupAt(name)
	if rapid.Bool().Draw(rt, "grant") {
		_, err := s.CreateGrant(r.t.Context(), admin, access.Grant{Group: group, Type: "rule_step", Resource: resource}, sure)
		r.same(rt, s, err, "", r.model.grant(name, resource))
		return
	}
	id := uuid.New()
	for _, at := range r.all { // one of them has it, if there is one
		if g := at.Snapshot().Access.GrantFor(group, "rule_step", resource); g != nil {
			id = g.ID
		}
	}
	err := s.DeleteGrant(r.t.Context(), admin, id, sure)
	r.same(rt, s, err, "", r.model.revoke(name, resource))
}

func (r *accessRun) users(rt *rapid.T) {
	s := r.next(rt)
	n := rapid.IntRange(0, 2).Draw(rt, "user")
	id, who := r.userAt(n, rapid.Bool().Draw(rt, "unbound"))
	switch rapid.IntRange(0, 4).Draw(rt, "what") {
	case 0:
		_, err := s.DeactivateUser(r.t.Context(), admin, id, sure)
		r.same(rt, s, err, "", r.model.activate(who, false))
	case 1:
		_, err := s.ActivateUser(r.t.Context(), admin, id, sure)
		r.same(rt, s, err, "", r.model.activate(who, true))
	case 2:
		r.token++
		in := tokenInput(id, r.token)
		in.Expires = time.Time{}
		_, err := s.CreateToken(r.t.Context(), admin, in, sure)
		r.same(rt, s, err, "", r.model.token(who, in.Name))
	case 3:
		email := fmt.Sprintf("s%d@example.org", n)
		err := s.SeedAdmin(r.t.Context(), email)
		r.same(rt, s, err, "", r.model.seed(email))
	default:
		rt.Skip("nothing this time")
	}
}

func (r *accessRun) seen(rt *rapid.T) {
	s := r.next(rt)
	n := rapid.IntRange(0, 2).Draw(rt, "user")
	minute := r.model.minute - rapid.IntRange(0, 3).Draw(rt, "age")
	seen := registry.Seen{
		Issuer: issuer, Subject: fmt.Sprint("s", n), Email: fmt.Sprintf("s%d@example.org", n), Primary: true,
		Username: rapid.SampledFrom([]string{"x", "y"}).Draw(rt, "name"), EmailVerified: rapid.Bool().Draw(rt, "verified"),
		IssuedAt: noon.Add(time.Duration(minute) * time.Minute), Admits: anyName,
	}
	if rapid.Bool().Draw(rt, "claim") {
		seen.Groups = rapid.SliceOfNDistinct(rapid.SampledFrom([]string{access.Admin, "a", "b", "c"}), 0, 3, rapid.ID).Draw(rt, "groups")
		if seen.Groups == nil {
			seen.Groups = []string{}
		}
	}
	err := s.SeenUser(r.t.Context(), seen)
	r.model.see(seen.Subject, seen.Email, seen.Username, seen.EmailVerified, minute, seen.Groups)
	r.same(rt, s, err, "", "ok")
}
