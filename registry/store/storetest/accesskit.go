package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// sure makes a change for certain; tried only decides it.
var (
	sure  = registry.Change{}
	tried = registry.Change{DryRun: true}
)

// issuer is the primary one.
const issuer = "https://issuer"

// tokenBy is a token of the primary issuer, of the nth minute.
func tokenBy(name string, minute int, groups ...string) registry.Seen {
	return registry.Seen{
		Issuer: issuer, Subject: "sub-" + name, Username: name, Email: name + "@example.org", EmailVerified: true,
		Primary: true, Groups: groups, Admits: anyName, IssuedAt: noon.Add(time.Duration(minute) * time.Minute),
	}
}

// anyName admits groups of every name.
func anyName(string) bool { return true }

// see must succeed; it returns the user.
func see(t testing.TB, s *registry.Service, seen registry.Seen) *access.User {
	t.Helper()
	if err := s.SeenUser(t.Context(), seen); err != nil {
		t.Fatalf("see %s: %v", seen.Subject, err)
	}
	return userNamed(t, s, seen.Username)
}

// userNamed is the only user of this username.
func userNamed(t testing.TB, s *registry.Service, name string) *access.User {
	t.Helper()
	u := s.Snapshot().Access.UserOf(issuer, "sub-"+name)
	if u == nil {
		t.Fatalf("there is no user %s", name)
	}
	return u
}

func makeGroup(t testing.TB, s *registry.Service, name string) access.Group {
	t.Helper()
	g, err := s.CreateGroup(t.Context(), admin, access.Group{Name: name, Description: "of " + name}, sure)
	if err != nil {
		t.Fatalf("make the group %s: %v", name, err)
	}
	return g
}

func groupNamed(t testing.TB, s *registry.Service, name string) *access.Group {
	t.Helper()
	g := s.Snapshot().Access.GroupByName(name)
	if g == nil {
		t.Fatalf("there is no group %s", name)
	}
	return g
}

// join makes somebody a member of a group by the source admin.
func join(t testing.TB, s *registry.Service, group, user string) {
	t.Helper()
	if _, _, err := s.AddMember(t.Context(), admin, groupNamed(t, s, group).ID, userNamed(t, s, user).ID.String(), sure); err != nil {
		t.Fatalf("%s joins %s: %v", user, group, err)
	}
}

func giveGrant(t testing.TB, s *registry.Service, group, resource string) access.Grant {
	t.Helper()
	g, err := s.CreateGrant(t.Context(), admin, access.Grant{Group: groupNamed(t, s, group).ID, Type: "rule_step", Resource: resource}, sure)
	if err != nil {
		t.Fatalf("grant %s to %s: %v", resource, group, err)
	}
	return g
}

func tokenInput(user access.ID, n byte) registry.TokenInput {
	return registry.TokenInput{
		User: user, Name: fmt.Sprint("token ", n), Digest: [32]byte{1, n}, Prefix: "abcdefgh", Scopes: []string{"read"},
		Expires: time.Now().Add(90 * 24 * time.Hour),
	}
}

func giveToken(t testing.TB, s *registry.Service, user access.ID, n byte) access.Token {
	t.Helper()
	made, err := s.CreateToken(t.Context(), admin, tokenInput(user, n), sure)
	if err != nil {
		t.Fatalf("make a token: %v", err)
	}
	return made
}

// membersOf writes a group's memberships: "alice:admin,idp_sync bob:admin".
func membersOf(t testing.TB, s *registry.Service, group string) string {
	t.Helper()
	set := s.Snapshot().Access
	by := map[string][]string{}
	for m := range set.MembersOf(groupNamed(t, s, group).ID, access.MemberKey{}) {
		u := set.User(m.User)
		name := u.Username
		if name == "" {
			name = u.Email
		}
		by[name] = append(by[name], string(m.Source))
	}
	var all []string
	for name, sources := range by {
		slices.Sort(sources)
		all = append(all, name+":"+strings.Join(sources, ","))
	}
	slices.Sort(all)
	return strings.Join(all, " ")
}

// told writes all of a set, in the order of keys.
func told(set *access.Set) string {
	var b strings.Builder
	for u := range set.UsersAfter(access.ID{}) {
		fmt.Fprintf(&b, "user %+v\n", *u)
		for m := range set.GroupsOf(u.ID) {
			fmt.Fprintf(&b, "  in %+v\n", *m)
		}
		for k := range set.TokensOf(u.ID) {
			fmt.Fprintf(&b, "  has %+v\n", *k)
		}
	}
	for g := range set.GroupsAfter("") {
		fmt.Fprintf(&b, "group %+v\n", *g)
	}
	for g := range set.GrantsAfter(access.ID{}) {
		fmt.Fprintf(&b, "grant %+v\n", *g)
	}
	return b.String()
}

// accessRows are the rows of the audit log behind the first n of audited.
func accessRows(t testing.TB, s *registry.Service, n int) []registry.AuditEntry {
	t.Helper()
	return audited(t, s)[n:]
}

func actionsOf(rows []registry.AuditEntry) string {
	all := make([]string, len(rows))
	for i := range rows {
		all[i] = rows[i].Action
	}
	return strings.Join(all, " ")
}

// said is a member of the JSON of a row; empty where there is none.
func said(t testing.TB, data []byte, path ...string) any {
	t.Helper()
	var at any
	if data == nil {
		return nil
	}
	if err := json.Unmarshal(data, &at); err != nil {
		t.Fatalf("%s: %v", data, err)
	}
	for _, name := range path {
		object, is := at.(map[string]any)
		if !is {
			return nil
		}
		at = object[name]
	}
	return at
}

// whole is everything that a dry run must leave alone.
func whole(t testing.TB, s *registry.Service) string {
	t.Helper()
	return fmt.Sprintf("revision %d, %s", s.Snapshot().Revision, lasting(t, s))
}

// lasting is what a restart must leave alone.
func lasting(t testing.TB, s *registry.Service) string {
	t.Helper()
	return fmt.Sprintf("%d rows\n%s", len(audited(t, s)), told(s.Snapshot().Access))
}

// reopened closes a service and compares what it has with what is there after
// opening its store again.
func reopened(t testing.TB, s *registry.Service, open Open) {
	t.Helper()
	want := lasting(t, s)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := lasting(t, service(t, open, newFleet())); got != want {
		t.Errorf("after reopening there are\n%s\nnot\n%s", got, want)
	}
}
