package access

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// A front follows changes of resources with many grants, and of those whose grants
// are few again and many once more, without one of those that are gone.
func TestFrontForgetsPairs(t *testing.T) {
	var front Front
	s := (*Set)(nil).With(&Delta{Users: []User{{ID: userID(1), Active: true}}})
	groups := 3 * onResource
	d := &Delta{}
	for i := range groups {
		d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
	}
	s = s.With(d)
	front.Follow(s)
	follow := func(d *Delta) {
		s = s.With(d)
		front.Follow(s)
	}
	member := func(i int) *Delta {
		return &Delta{GoneMembers: []MemberKey{{userID(1), groupID((i + groups - 1) % groups), SourceAdmin}}, Members: []Member{{MemberKey: MemberKey{userID(1), groupID(i), SourceAdmin}}}}
	}
	has := make([]bool, groups)
	ask := func() {
		t.Helper()
		for i := range groups {
			follow(member(i))
			l := s.Look(&User{ID: userID(1)}, "worker", "w", false)
			if got := l.Allows(stored(1), epoch); !l.near || got != has[i] {
				t.Fatalf("group %d: near %v, allowed %v", i, l.near, got)
			}
			named := &Who{Named: []string{fmt.Sprint("group ", i)}}
			if got := l.Allows(named, epoch); got != has[i] {
				t.Fatalf("group %d by the token: %v", i, got)
			}
		}
	}
	for round := range 3 {
		for i := range groups {
			follow(&Delta{Grants: []Grant{{ID: grantID(i), Group: groupID(i), Type: "worker", Resource: "w"}}})
			has[i] = true
			if i == onResource-1 || i == onResource || i == groups-1 {
				ask()
			}
		}
		for k := range groups {
			i := (k*5 + round) % groups
			follow(&Delta{GoneGrants: []ID{grantID(i)}})
			has[i] = false
			if left := groups - 1 - k; left <= onResource+1 {
				ask()
			}
		}
	}
}

const crowdUsers, crowdThings, crowdGroups = 3, 3, 60

func crowdName(i int) string { return fmt.Sprint("group ", i) }

func crowdThing(i int) string { return fmt.Sprint("*w"[min(i, 1):1+min(i, 1)], strings.Repeat("x", i)) }

// crowdChange adds one row to a change: in some phases more that gives than that
// takes, of members or grants.
func crowdChange(rnd *rand.Rand, d *Delta, phase int) {
	u, g, r := userID(rnd.IntN(crowdUsers)), rnd.IntN(crowdGroups), rnd.IntN(crowdThings)
	key := MemberKey{u, groupID(g), Sources()[rnd.IntN(len(Sources()))]}
	grant := Grant{ID: grantID(g*crowdThings + r), Group: groupID(g), Type: "worker", Resource: crowdThing(r)}
	if rnd.IntN(3) == 0 {
		grant.Expires = epoch.Add([]time.Duration{-time.Hour, time.Millisecond, time.Hour, 200 * 365 * 24 * time.Hour}[rnd.IntN(4)])
	}
	switch n := rnd.IntN(40); {
	case n == 0:
		d.GoneGroups = append(d.GoneGroups, groupID(g))
	case n == 1 && rnd.IntN(4) == 0:
		d.GoneUsers = append(d.GoneUsers, u)
	case n <= 3:
		d.Groups = append(d.Groups, Group{ID: groupID(g), Name: crowdName(rnd.IntN(2)*crowdGroups + g)})
	case n <= 6:
		d.Groups, d.Users = append(d.Groups, Group{ID: groupID(g), Name: crowdName(g)}), append(d.Users, User{ID: u, Active: true})
	case n < 23 && phase&1 == 0:
		d.Members = append(d.Members, Member{MemberKey: key})
	case n >= 23 && phase&2 == 0:
		d.Grants = append(d.Grants, grant)
	case n < 23:
		d.GoneMembers = append(d.GoneMembers, key)
	default:
		d.GoneGrants = append(d.GoneGrants, grant.ID)
	}
}

// A front answers as its set does while users come to be in many groups and
// resources to have many grants, ending ones among them, and go back to few: by
// whatever change, one or many at a time.
func TestFrontFollowsCrowds(t *testing.T) {
	const rounds = 1500
	const users, things, groups = crowdUsers, crowdThings, crowdGroups
	rnd := rand.New(rand.NewPCG(7, 11))
	var front Front
	s := (*Set)(nil).With(&Delta{Groups: []Group{{ID: numberedID(9, 1), Name: Admin}, {ID: numberedID(9, 2), Name: Everyone}}})
	front.Follow(s)
	asked, near, allowed, many, both := 0, 0, 0, [2]int{}, 0
	ask := func(s *Set) {
		for range 12 {
			u, typ := rnd.IntN(users+1), []string{"worker", "dataset"}[rnd.IntN(12)/11]
			w := &Who{User: &User{ID: userID(u)}, Sync: rnd.IntN(2) == 0}
			if rnd.IntN(5) == 0 {
				w.User = nil
			}
			for range rnd.IntN(12) {
				w.Named = append(w.Named, crowdName(rnd.IntN(2*groups)))
			}
			l := s.Look(&User{ID: userID(u)}, typ, crowdThing(rnd.IntN(things)), rnd.IntN(2) == 0)
			own := l.searched()
			want := own.Allows(w, epoch)
			if l.near {
				got, sure := l.allowsNear(w, epoch)
				if sure {
					near++
					if l.who.crowded() && w.User != nil {
						many[0]++
					} else if l.what.crowded() {
						many[1]++
					}
				} else if l.who.crowded() && w.User != nil {
					both++
				}
				if sure && got != want {
					t.Fatalf("%+v of %v: %v, not %v", w, l.name, got, want)
				}
			}
			if got := l.Allows(w, epoch); got != want {
				t.Fatalf("%+v of %v: %v, not %v", w, l.name, got, want)
			}
			admin := s.LookFor(w.User)
			if own := admin.searched(); admin.IsAdmin(w) != own.IsAdmin(w) || admin.Allows(w, epoch) {
				t.Fatalf("%+v is an admin: %v", w, admin.IsAdmin(w))
			}
			if want {
				allowed++
			}
			asked++
		}
	}
	for round := range rounds {
		old := s
		for range 1 + rnd.IntN(3) {
			d := &Delta{}
			for range 1 + rnd.IntN(4)*rnd.IntN(4) {
				crowdChange(rnd, d, round/150)
			}
			s = s.With(d)
		}
		front.Follow(s)
		ask(s)
		ask(old)
	}
	if near < asked/3 || allowed < asked/20 || allowed > asked*19/20 || min(many[0], many[1]) < asked/60 || both == 0 {
		t.Errorf("of %d questions %d were answered by the front, %v of crowds and %d of crowds on crowds not; %d allowed", asked, near, many, both, allowed)
	}
}

// Who was in many groups is in none of them after the group is gone, nor in the one
// that has its number then, and who comes back is in none that they were in before.
func TestFrontForgetsMembers(t *testing.T) {
	const half, all = 200, 4000 // so many that the bits of a crowd tell little
	groups := func(user, from, to int) *Delta {
		d := &Delta{Users: []User{{ID: userID(user), Active: true}}}
		for i := from; i < to; i++ {
			d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
			d.Members = append(d.Members, Member{MemberKey: MemberKey{userID(user), groupID(i), SourceAdmin}})
		}
		return d
	}
	rights := func(from, to int) *Delta {
		d := &Delta{}
		for i := from; i < to; i++ {
			d.Grants = append(d.Grants, Grant{ID: grantID(i), Group: groupID(i), Type: "worker", Resource: fmt.Sprint("w", i)})
		}
		return d
	}
	for name, gone := range map[string]*Delta{
		"groups": {}, "the user": {GoneUsers: []ID{userID(1)}}, "memberships": {},
	} {
		t.Run(name, func(t *testing.T) {
			others := groups(1, 0, half)
			switch name {
			case "groups":
				for i := range half {
					gone.GoneGroups = append(gone.GoneGroups, groupID(i))
				}
				others.Groups, others.Members = others.Groups[:0], nil
				for i := range half {
					others.Groups = append(others.Groups, Group{ID: groupID(all + i), Name: fmt.Sprint("new ", i)})
					others.Grants = append(others.Grants, Grant{ID: grantID(i), Group: groupID(all + i), Type: "worker", Resource: fmt.Sprint("w", i)})
				}
			case "the user":
				others.Members = nil
			case "memberships":
				for i := range half {
					gone.GoneMembers = append(gone.GoneMembers, MemberKey{userID(1), groupID(i), SourceAdmin})
				}
				others.Members = nil
			}
			var front Front
			s := (*Set)(nil).With(groups(2, 0, all)).With(groups(1, 0, 2*half)).With(rights(0, all))
			front.Follow(s)
			tables := front.tables.Load()
			for _, d := range []*Delta{gone, others, groups(1, half, 2*half)} {
				s = s.With(d)
				front.Follow(s)
			}
			if front.tables.Load() != tables {
				t.Fatal("all was made anew")
			}
			for i := range 2 * half {
				l := s.Look(&User{ID: userID(1)}, "worker", fmt.Sprint("w", i), false)
				if got, sure := l.allowsNear(stored(1), epoch); !l.near || !sure || got != (i >= half) {
					t.Fatalf("group %d: near %v, sure %v, allowed %v", i, l.near, sure, got)
				}
			}
		})
	}
}

// Grants that end have room for some in a resource's cell: whichever of them is in
// force is, with fewer and with more.
func TestFrontCountsEnds(t *testing.T) {
	for n := range 2 * (onResource + 2) {
		total, some := n/2+1, n%2 == 0
		var front Front
		d := &Delta{Users: []User{{ID: userID(1), Active: true}, {ID: userID(2), Active: true}}}
		for i := range total {
			d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
		}
		for i := range inCell + 1 { // others that the second is in
			d.Groups = append(d.Groups, Group{ID: groupID(100 + i), Name: fmt.Sprint("group ", 100+i)})
			d.Members = append(d.Members, Member{MemberKey: MemberKey{userID(2), groupID(100 + i), SourceAdmin}})
		}
		s := (*Set)(nil).With(d)
		for good := range total {
			d := &Delta{}
			for _, user := range []ID{userID(1), userID(2)} {
				d.GoneMembers = append(d.GoneMembers, MemberKey{user, groupID(good - 1), SourceAdmin})
				d.Members = append(d.Members, Member{MemberKey: MemberKey{user, groupID(good), SourceAdmin}})
			}
			for i := range total {
				g := Grant{ID: grantID(i), Group: groupID(i), Type: "worker", Resource: "w", Expires: epoch.Add(-time.Hour)}
				if i == good {
					g.Expires = epoch.Add(time.Hour)
				}
				if some && i%4 == 3 && i != good {
					g.Expires = time.Time{}
				}
				d.Grants = append(d.Grants, g)
			}
			s = s.With(d)
			front.Follow(s)
			for i := range total {
				want := i == good || some && i%4 == 3
				l := s.Look(nil, "worker", "w", false)
				if got := l.Allows(&Who{Named: []string{fmt.Sprint("group ", i)}}, epoch); got != want || !l.near {
					t.Fatalf("%d grants, of which number %d is in force: number %d is: %v, near: %v", total, good, i, got, l.near)
				}
			}
			for user := 1; user <= 2; user++ {
				l := s.Look(&User{ID: userID(user)}, "worker", "w", false)
				got, sure := l.allowsNear(stored(user), epoch)
				if both := user == 2 && !s.resource("worker", "w").fits(); sure == both || !both && !got || !l.Allows(stored(user), epoch) {
					t.Fatalf("%d grants, of which number %d is in force, for its member %d: sure %v, allowed %v", total, good, user, sure, got)
				}
			}
		}
	}
}

// Many that come to be crowds at once have more links than were touched.
func TestFrontMakesRoomForCrowds(t *testing.T) {
	const many = 60
	d := &Delta{}
	for i := range inCell + 1 {
		d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
	}
	next := [2]*Delta{{}, {}} // by which all users, and all resources, come to be crowds
	for n := range many {
		d.Users = append(d.Users, User{ID: userID(n), Active: true})
		for i := range inCell + 1 {
			m := Member{MemberKey: MemberKey{userID(n), groupID(i), SourceAdmin}}
			g := Grant{ID: grantID(n*many + i), Group: groupID(i), Type: "worker", Resource: fmt.Sprint("w", n)}
			if i < inCell {
				d.Members = append(d.Members, m)
			} else {
				next[0].Members = append(next[0].Members, m)
			}
			switch {
			case i == onResource:
				next[1].Grants = append(next[1].Grants, g)
			case i < onResource:
				d.Grants = append(d.Grants, g)
			}
		}
	}
	for i, more := range next {
		var front Front
		s := (*Set)(nil).With(d)
		for _, d := range []*Delta{{}, more} {
			s = s.With(d)
			front.Follow(s)
		}
		for n := range many {
			l := s.Look(&User{ID: userID(n)}, "worker", fmt.Sprint("w", (n+1)%many), false)
			if allowed, sure := l.allowsNear(stored(n), epoch); !l.near || !sure || !allowed {
				t.Fatalf("%d: user %d: near %v, sure %v, allowed %v", i, n, l.near, sure, allowed)
			}
		}
	}
}

// Tags tell names apart however they differ: as a draw of so many from all tags
// would, nine tenths of them are there.
func TestTagsAreSpread(t *testing.T) {
	for _, form := range []string{"/departments/group %06d", "group %d", "%d", "%07d of the house of the people", "%c"} {
		const n = 10_000
		seen, brief := map[uint32]bool{}, [1 << briefBits]int{}
		for i := range n {
			name := fmt.Sprintf(form, i)
			if tagOf(name) != tagOf(strings.Clone(name)) {
				t.Fatalf("%q has two tags", name)
			}
			seen[inTags(tagOf(name))] = true
			brief[briefOf(name)]++
		}
		if most := slices.Max(brief[:]); most > 2*n/len(brief) {
			t.Errorf("%d of %d names like %q share a bit", most, n, fmt.Sprintf(form, 7))
		}
		if len(seen) < (tagMask+1)*85/100 {
			t.Errorf("%d names like %q have %d of %d tags", n, fmt.Sprintf(form, 7), len(seen), tagMask+1)
		}
	}
}

// A tag is no name: of two groups whose names have the same one, and of a name that
// no group has, only the group with the grant lets its people in.
func TestFrontTellsNamesOfOneTagApart(t *testing.T) {
	byTag := map[uint32][]string{}
	var same []string
	for i := 0; len(same) < 3; i++ {
		name := fmt.Sprint("group ", i)
		tag := inTags(tagOf(name))
		byTag[tag] = append(byTag[tag], name)
		same = byTag[tag]
	}
	s := (*Set)(nil).With(&Delta{
		Groups: []Group{{ID: groupID(0), Name: same[0]}, {ID: groupID(1), Name: same[1]}},
		Grants: []Grant{{ID: grantID(0), Group: groupID(1), Type: "worker", Resource: "w"}},
	})
	var front Front
	front.Follow(s)
	for i, name := range same {
		l := s.Look(nil, "worker", "w", false)
		if got, sure := l.allowsNear(&Who{Named: []string{name}}, epoch); !l.near || !sure || got != (i == 1) {
			t.Errorf("%s: near %v, sure %v, allowed %v", name, l.near, sure, got)
		}
	}
}

// Everyone's grant reaches somebody in many groups as it does the others, and for as
// long: not when it is over.
func TestFrontOfEveryone(t *testing.T) {
	var front Front
	d := &Delta{Groups: []Group{{ID: numberedID(9, 2), Name: Everyone}}, Users: []User{{ID: userID(0), Active: true}, {ID: userID(1), Active: true}}}
	for i := range inCell + 1 {
		d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
		d.Members = append(d.Members, Member{MemberKey: MemberKey{userID(1), groupID(i), SourceAdmin}})
	}
	s := (*Set)(nil).With(d)
	front.Follow(s)
	for _, end := range []time.Duration{0, time.Hour, -time.Hour, 1, -1} {
		g := Grant{ID: grantID(1), Group: numberedID(9, 2), Type: "worker", Resource: "w"}
		if end != 0 {
			g.Expires = epoch.Add(end)
		}
		s = s.With(&Delta{Grants: []Grant{g}})
		front.Follow(s)
		for _, user := range []*User{nil, {ID: userID(0)}, {ID: userID(1)}, {ID: userID(2)}} {
			l := s.Look(user, "worker", "w", false)
			near, sure := l.allowsNear(&Who{User: user}, epoch)
			if sure == (end == 1) || sure && near != (end >= 0) || l.Allows(&Who{User: user}, epoch) != (end >= 0) {
				t.Errorf("an end after %s, %v: sure %v, allowed %v", end, user, sure, near)
			}
		}
	}
}

// Bits that two groups share are no group: among many, each reaches its own resource
// alone, and what somebody looked for is in counts for nobody else.
func TestFrontTellsGroupsOfOneBitApart(t *testing.T) {
	const groups = 200
	d := &Delta{Groups: []Group{{ID: numberedID(9, 1), Name: Admin}, {ID: numberedID(9, 2), Name: Everyone}}}
	for i := range groups {
		d.Groups = append(d.Groups, Group{ID: groupID(i), Name: fmt.Sprint("group ", i)})
		d.Users = append(d.Users, User{ID: userID(i), Active: true})
		d.Members = append(d.Members, Member{MemberKey: MemberKey{userID(i), groupID(i), SourceAdmin}})
		d.Grants = append(d.Grants, Grant{ID: grantID(i), Group: groupID(i), Type: "worker", Resource: fmt.Sprint("w", i)})
	}
	var front Front
	s := (*Set)(nil).With(d)
	front.Follow(s)
	for i := range groups {
		for k := range groups {
			l := s.Look(&User{ID: userID(i)}, "worker", fmt.Sprint("w", k), false)
			if got, sure := l.allowsNear(stored(i), epoch); !l.near || !sure || got != (i == k) {
				t.Fatalf("user %d and resource %d: near %v, sure %v, allowed %v", i, k, l.near, sure, got)
			}
			if got, sure := l.allowsNear(&Who{}, epoch); !sure || got {
				t.Fatalf("nobody, with user %d looked for, and resource %d: sure %v, allowed %v", i, k, sure, got)
			}
			if l.IsAdmin(stored(i)) {
				t.Fatalf("user %d is in Admin", i)
			}
		}
	}
}
