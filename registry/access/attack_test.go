package access

import (
	"fmt"
	"iter"
	"slices"
	"testing"
	"time"
)

// inGroups is a set with one user in all of these groups by a source, and one grant
// on "secret" for each of them, of ids from 1 on.
func inGroups(n int, source Source) *Set {
	d := &Delta{Users: []User{{ID: userID(1), Active: true}}}
	for i := range n {
		d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
		d.Members = append(d.Members, Member{MemberKey: MemberKey{userID(1), groupID(i), source}})
		d.Grants = append(d.Grants, Grant{ID: grantID(i), Group: groupID(i), Type: "worker", Resource: "secret"})
	}
	return (*Set)(nil).With(d)
}

// stored is a user by what is stored of them, of the identity provider as well.
func stored(n int) *Who { return &Who{User: &User{ID: userID(n)}, Sync: true} }

// A group that takes the room of one that went has nothing of it, in sets of few
// groups and of more than lie together.
func TestRoomIsNotInherited(t *testing.T) {
	for _, n := range []int{1, 4, 5, 24, 25, 60} {
		for gone := range n {
			s := inGroups(n, SourceAdmin).With(&Delta{GoneGroups: []ID{groupID(gone)}})
			s = s.With(&Delta{
				Groups: []Group{{ID: groupID(n + 1), Name: fmt.Sprint("group ", gone)}},
				Grants: []Grant{{ID: grantID(n + 1), Group: groupID(n + 1), Type: "worker", Resource: "new"}},
			})
			who := stored(1)
			if s.Allows(who, "worker", "new", true, epoch) || s.Allows(who, "worker", "secret", true, epoch) != (n > 1) {
				t.Fatalf("group %d of %d: its successor's members are those it had", gone, n)
			}
			vias := 0
			for g := range s.Via(who, "worker", "secret", true, epoch) {
				if g.Group == groupID(gone) || g.Group == groupID(n+1) {
					t.Fatalf("%+v is left", g)
				}
				vias++
			}
			if vias != n-1 || s.MemberCount(groupID(n+1)) != 0 || s.GrantFor(groupID(n+1), "worker", "secret") != nil {
				t.Fatalf("group %d of %d: %d ways", gone, n, vias)
			}
			named := &Who{Named: []string{fmt.Sprint("group ", gone)}}
			if s.Allows(named, "worker", "secret", true, epoch) || !s.Allows(named, "worker", "new", true, epoch) {
				t.Fatalf("group %d of %d: who names it has what it had", gone, n)
			}
		}
	}
}

// Whoever leaves one group after the other has less each time, and nothing in the
// end, whichever of the ways to keep it is in use.
func TestRightsEnd(t *testing.T) {
	const n = 60
	for _, by := range []string{"members", "grants", "groups"} {
		s := inGroups(n, SourceSync)
		for left := n; left > 0; left-- {
			who := stored(1)
			if !s.Allows(who, "worker", "secret", false, epoch) {
				t.Fatalf("%s: nothing with %d left", by, left)
			}
			who.Sync = false
			if s.Allows(who, "worker", "secret", false, epoch) {
				t.Fatalf("%s: what the identity provider gave counts unasked", by)
			}
			i := (left * 7) % n
			for s.Group(groupID(i)) == nil || s.GrantCount(groupID(i)) == 0 || s.Member(MemberKey{userID(1), groupID(i), SourceSync}) == nil {
				i = (i + 1) % n
			}
			switch by {
			case "members":
				s = s.With(&Delta{GoneMembers: []MemberKey{{userID(1), groupID(i), SourceSync}}})
			case "grants":
				s = s.With(&Delta{GoneGrants: []ID{grantID(i)}})
			default:
				s = s.With(&Delta{GoneGroups: []ID{groupID(i)}})
			}
		}
		if s.Allows(stored(1), "worker", "secret", false, epoch) {
			t.Errorf("%s: something is left", by)
		}
	}
}

// The instant of the end is behind it, to the nanosecond.
func TestEndOfGrant(t *testing.T) {
	for _, end := range []time.Time{epoch, epoch.Add(1), epoch.Add(999_999_999), time.Unix(-5, 7), time.Unix(0, 0)} {
		s := inGroups(1, SourceAdmin).With(&Delta{Grants: []Grant{{ID: grantID(0), Group: groupID(0), Type: "worker", Resource: "*", Expires: end}}})
		for _, by := range []time.Duration{-time.Hour, -time.Second, -1, 0, 1, time.Second, time.Hour} {
			now := end.Add(by)
			if s.Allows(stored(1), "worker", "any", true, now) != (by < 0) {
				t.Errorf("%s after %s", by, end)
			}
			if s.Allows(stored(1), "worker", "any", false, now) || s.Allows(stored(1), "worker", "secret", true, now) != (by < 0) {
				t.Errorf("%s after %s: more than the grant says", by, end)
			}
		}
	}
}

// Records without a parent are left out, and what is twice is there once.
func TestOrphans(t *testing.T) {
	s := inGroups(2, SourceAdmin)
	s = s.With(&Delta{
		Members: []Member{
			{MemberKey: MemberKey{userID(1), groupID(9), SourceAdmin}}, {MemberKey: MemberKey{userID(9), groupID(1), SourceAdmin}},
			{MemberKey: MemberKey{userID(1), groupID(1), SourceAdmin}, AddedBy: "bob"},
		},
		Grants: []Grant{
			{ID: grantID(7), Group: groupID(9), Type: "worker", Resource: "x"},
			{ID: grantID(8), Group: groupID(1), Type: "worker", Resource: "secret"}, // in place of the one that is there
		},
		Tokens: []Token{{ID: tokenID(1), User: userID(9), Digest: digestOf(1)}},
	})
	if s.MemberTotal() != 2 || s.GrantTotal() != 2 || s.TokenCount() != 0 || s.Grant(grantID(1)) != nil || s.GrantFor(groupID(1), "worker", "secret").ID != grantID(8) {
		t.Errorf("%d members, %d grants, %d tokens", s.MemberTotal(), s.GrantTotal(), s.TokenCount())
	}
	// A user who comes under the key of one who went has nothing of theirs.
	s = s.With(&Delta{Tokens: []Token{{ID: tokenID(1), User: userID(1), Digest: digestOf(1)}}})
	s = s.With(&Delta{GoneUsers: []ID{userID(1)}, Users: []User{{ID: userID(1), Active: true}}})
	if s.MemberTotal() != 0 || s.TokenByDigest(digestOf(1)) != nil || s.Allows(stored(1), "worker", "secret", true, epoch) {
		t.Error("the memberships of one who went are left")
	}
}

// Whoever asks nobody, or an empty set, may do nothing.
func TestNobody(t *testing.T) {
	full := inGroups(3, SourceAdmin).With(&Delta{Groups: []Group{{ID: groupID(8), Name: Admin}, {ID: groupID(9), Name: Everyone}}})
	for _, s := range []*Set{nil, {}, full} {
		for _, w := range []*Who{nil, {}, stored(5), {Named: []string{"", "admin", " Admin", "group", "group 0 ", Everyone}}} {
			if s.IsAdmin(w) || s.Allows(w, "worker", "secret", true, epoch) || s.Allows(w, "", "", true, epoch) || s.Allows(w, "worker", "*", true, epoch) {
				t.Errorf("%+v may do something", w)
			}
			if n := len(slices.Collect(s.Via(w, "worker", "secret", true, epoch))); n != 0 {
				t.Errorf("%+v has %d grants", w, n)
			}
		}
	}
	if !full.IsAdmin(&Who{Named: []string{Admin}}) || (*Set)(nil).IsAdmin(&Who{Named: []string{Admin}}) {
		t.Error("Admin counts when there is such a group, and else not")
	}
}

// Whoever looks for the first of something may stop there.
func TestStopping(t *testing.T) {
	s := inGroups(50, SourceAdmin).With(&Delta{Tokens: []Token{{ID: tokenID(1), User: userID(1)}, {ID: tokenID(2), User: userID(1), Digest: digestOf(2)}}})
	for name, first := range map[string]func() bool{
		"GroupsAfter": func() bool { return stops(s.GroupsAfter("")) },
		"GrantsAfter": func() bool { return stops(s.GrantsAfter(ID{})) },
		"GrantsTo":    func() bool { return stops(s.GrantsTo("worker", "secret")) },
		"GrantsOf":    func() bool { return stops(s.GrantsOf(groupID(1))) },
		"GroupsOf":    func() bool { return stops(s.GroupsOf(userID(1))) },
		"TokensOf":    func() bool { return stops(s.TokensOf(userID(1))) },
		"UsersAfter":  func() bool { return stops(s.UsersAfter(ID{})) },
		"Via":         func() bool { return stops(s.Via(stored(1), "worker", "secret", true, epoch)) },
		"GroupsFor":   func() bool { return stops(s.GroupsFor(stored(1))) },
		"MembersOf":   func() bool { return stops(s.MembersOf(groupID(1), MemberKey{})) },
	} {
		if !first() {
			t.Errorf("%s yields nothing", name)
		}
	}
}

// stops takes the first value and no other.
func stops[T any](all iter.Seq[*T]) bool {
	next, stop := iter.Pull(all)
	defer stop()
	first, there := next()
	return there && first != nil
}
