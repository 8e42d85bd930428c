package access

import (
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"pgregory.net/rapid"
)

// crowded is how many users and groups there may be: so many that lists become
// trees, and slices again.
const crowded = 2*few + 6

var (
	names     = append([]string{"", "Admin", "Everyone", "admin", "ADMIN"}, numbered("group ", crowded)...)
	emails    = []string{"alice@example.org", "bob@example.org", "straße@example.org", ""}
	written   = []string{"", " ", "alice@example.org", "ALICE@example.org ", "bob@example.org", "Straße@example.org", "STRAẞE@EXAMPLE.ORG"}
	issuers   = []string{"https://one", "https://two"}
	subjects  = []string{"", "alice", "bob", "admin"}
	types     = []string{"worker", "dataset"}
	resources = []string{"*", "a", "b", "a.b"}
	epoch     = time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
)

func numbered(prefix string, n int) []string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprint(prefix, i)
	}
	return list
}

func numberedID(kind byte, n int) ID {
	id := ID{0: kind}
	binary.BigEndian.PutUint32(id[8:], uint32(n+1))
	return id
}

func userID(n int) ID         { return numberedID(1, n) }
func groupID(n int) ID        { return numberedID(2, n) }
func grantID(n int) ID        { return numberedID(3, n) }
func tokenID(n int) ID        { return numberedID(4, n) }
func digestOf(n int) [32]byte { return [32]byte{0: byte(n), 31: 7} }

// step makes the next state by a few changes, each of which the service could
// have made.
func (n naive) step(t *rapid.T) naive {
	next := n.clone()
	for range rapid.IntRange(1, 6).Draw(t, "changes") {
		next.alter(t)
	}
	return next
}

func (n naive) alter(t *rapid.T) {
	some := func(of []ID) ID { return rapid.SampledFrom(of).Draw(t, "of") }
	switch rapid.IntRange(0, 12).Draw(t, "change") {
	case 0, 1:
		n.putUser(t, userID(rapid.IntRange(0, 5).Draw(t, "user")))
	case 2, 3:
		n.putGroup(groupID(rapid.IntRange(0, 5).Draw(t, "group")), rapid.SampledFrom(names[1:]).Draw(t, "name"), rapid.Int64Range(1, 9).Draw(t, "revision"))
	case 4, 5:
		n.putMember(t, userID(rapid.IntRange(0, 5).Draw(t, "user")), groupID(rapid.IntRange(0, 5).Draw(t, "group")))
	case 6, 7:
		n.putGrant(t, rapid.IntRange(0, 19).Draw(t, "grant"), groupID(rapid.IntRange(0, 5).Draw(t, "group")))
	case 8:
		n.putToken(t, rapid.IntRange(0, 5).Draw(t, "token"), userID(rapid.IntRange(0, 5).Draw(t, "user")))
	case 9:
		n.swapNames(t)
	case 10:
		n.crowd(t)
	case 11:
		if ids := slices.SortedFunc(maps.Keys(n.groups), lessBytes); len(ids) > 0 && rapid.Bool().Draw(t, "group") {
			n.dropGroup(some(ids))
		} else if ids := slices.SortedFunc(maps.Keys(n.users), lessBytes); len(ids) > 0 {
			n.dropUser(some(ids))
		}
	case 12:
		n.drop(t)
	}
}

// drop takes single rows out.
func (n naive) drop(t *rapid.T) {
	if keys := slices.SortedFunc(maps.Keys(n.members), lessKey); len(keys) > 0 {
		for range rapid.SampledFrom([]int{1, 1, crowded}).Draw(t, "how many") {
			delete(n.members, rapid.SampledFrom(keys).Draw(t, "member"))
		}
	}
	if ids := slices.SortedFunc(maps.Keys(n.grants), lessBytes); len(ids) > 0 {
		for range rapid.SampledFrom([]int{1, 1, crowded}).Draw(t, "how many") {
			delete(n.grants, rapid.SampledFrom(ids).Draw(t, "grant"))
		}
	}
	delete(n.tokens, tokenID(rapid.IntRange(0, 5).Draw(t, "token")))
}

func (n naive) putUser(t *rapid.T, id ID) {
	u := User{ID: id, Email: rapid.SampledFrom(written).Draw(t, "email"), Username: "someone", Active: rapid.Bool().Draw(t, "active"), CreatedAt: epoch}
	u.Issuer, u.Subject = rapid.SampledFrom(issuers).Draw(t, "issuer"), rapid.SampledFrom(subjects).Draw(t, "subject")
	for _, other := range n.users {
		if other.ID != id && other.Issuer == u.Issuer && other.Subject == u.Subject {
			u.Subject = ""
		}
	}
	if u.Subject == "" {
		u.Issuer = ""
	}
	n.users[id] = u
}

func (n naive) putGroup(id ID, name string, revision int64) {
	if g, taken := n.groupNamed(name); taken && g.ID != id {
		return
	}
	n.groups[id] = Group{ID: id, Name: name, System: name == Admin || name == Everyone, CreatedBy: "admin", Revision: revision}
}

// swapNames has two groups, and two users, change names, which can be one change
// when several are followed at once.
func (n naive) swapNames(t *rapid.T) {
	a, b := groupID(rapid.IntRange(0, 5).Draw(t, "group")), groupID(rapid.IntRange(0, 5).Draw(t, "other"))
	one, there := n.groups[a]
	other, thereToo := n.groups[b]
	if there && thereToo {
		one.Name, other.Name = other.Name, one.Name
		n.groups[a], n.groups[b] = one, other
	}
	a, b = userID(rapid.IntRange(0, 5).Draw(t, "user")), userID(rapid.IntRange(0, 5).Draw(t, "other"))
	alice, there := n.users[a]
	bob, thereToo := n.users[b]
	if there && thereToo {
		alice.Issuer, alice.Subject, alice.Email, bob.Issuer, bob.Subject, bob.Email = bob.Issuer, bob.Subject, bob.Email, alice.Issuer, alice.Subject, alice.Email
		n.users[a], n.users[b] = alice, bob
	}
}

func (n naive) putMember(t *rapid.T, user, group ID) {
	if _, there := n.users[user]; !there {
		n.putUser(t, user)
	}
	if _, there := n.groups[group]; !there {
		n.putGroup(group, "group "+group.String(), 1)
	}
	if _, there := n.groups[group]; !there {
		return // another group has taken the name, by an exchange of names
	}
	k := MemberKey{user, group, rapid.SampledFrom(Sources()).Draw(t, "source")}
	n.members[k] = Member{MemberKey: k, AddedAt: epoch, AddedBy: rapid.SampledFrom(subjects).Draw(t, "by")}
}

func (n naive) putGrant(t *rapid.T, number int, group ID) {
	if _, there := n.groups[group]; !there {
		return
	}
	g := Grant{ID: grantID(number), Group: group, Type: rapid.SampledFrom(types).Draw(t, "type"), Resource: rapid.SampledFrom(resources).Draw(t, "resource"), AssignedBy: "admin"}
	if rapid.IntRange(0, 3).Draw(t, "ends") == 0 {
		g.Expires = epoch.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "hours")) * time.Hour)
	}
	for _, other := range n.grants {
		if other.Group == g.Group && other.Type == g.Type && other.Resource == g.Resource {
			delete(n.grants, other.ID)
		}
	}
	n.grants[g.ID] = g
}

func (n naive) putToken(t *rapid.T, number int, user ID) {
	if _, there := n.users[user]; there {
		n.tokens[tokenID(number)] = Token{ID: tokenID(number), User: user, Name: "ci", Digest: digestOf(number), Scopes: []string{"read"}, LastAddress: rapid.SampledFrom(subjects).Draw(t, "address")}
	}
}

// crowd makes many users and groups, and puts everybody into one group, one user
// into all, and a grant of every group on one resource.
func (n naive) crowd(t *rapid.T) {
	for i := range crowded {
		if _, there := n.users[userID(i)]; !there {
			n.users[userID(i)] = User{ID: userID(i), Username: fmt.Sprint("user ", i)}
		}
		if _, there := n.groups[groupID(i)]; !there {
			n.putGroup(groupID(i), fmt.Sprint("group ", i), 1)
		}
	}
	source := rapid.SampledFrom(Sources()).Draw(t, "source")
	who, which := userID(rapid.IntRange(0, 5).Draw(t, "user")), groupID(rapid.IntRange(0, 5).Draw(t, "group"))
	typ, resource := rapid.SampledFrom(types).Draw(t, "type"), rapid.SampledFrom(resources).Draw(t, "resource")
	taken := map[ID]bool{}
	for _, g := range n.grants {
		if g.Type == typ && g.Resource == resource {
			taken[g.Group] = true
		}
	}
	for i := range crowded {
		for _, k := range []MemberKey{{userID(i), which, source}, {who, groupID(i), source}} {
			if _, there := n.groups[k.Group]; there {
				n.members[k] = Member{MemberKey: k, AddedBy: "admin"}
			}
		}
		if _, there := n.groups[groupID(i)]; there && !taken[groupID(i)] {
			id := grantID(20 + i + crowded*rapid.IntRange(0, 1).Draw(t, "which"))
			if _, there := n.grants[id]; !there {
				n.grants[id] = Grant{ID: id, Group: groupID(i), Type: typ, Resource: resource}
			}
		}
	}
}
