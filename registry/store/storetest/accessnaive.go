package storetest

import (
	"fmt"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry/access"
)

// someone is a user of the naive model, without ids.
type someone struct {
	bound  string // the subject, once there is one
	email  string
	name   string
	active bool
	synced int             // minute of the newest claim
	edited int             // minute of the record's last change
	tokens map[string]bool // to whether they are good
}

// naive is what the specification says of access, over maps of names.
type naive struct {
	users   []*someone
	groups  map[string]bool // to whether they are the system's
	members map[*someone]map[string]map[access.Source]bool
	grants  map[string]map[string]bool
	minute  int
}

func newNaive() *naive {
	return &naive{
		groups:  map[string]bool{access.Admin: true, access.Everyone: true},
		members: map[*someone]map[string]map[access.Source]bool{}, grants: map[string]map[string]bool{},
	}
}

func (m *naive) find(which func(u *someone) bool) *someone {
	if i := slices.IndexFunc(m.users, which); i >= 0 {
		return m.users[i]
	}
	return nil
}

func (m *naive) of(subject string) *someone {
	return m.find(func(u *someone) bool { return u.bound == subject })
}

// unbound is who was made by an address.
func (m *naive) unbound(email string) *someone {
	return m.find(func(u *someone) bool { return u.bound == "" && u.email == email })
}

func (m *naive) sources(u *someone, group string) map[access.Source]bool {
	if m.members[u] == nil {
		m.members[u] = map[string]map[access.Source]bool{}
	}
	if m.members[u][group] == nil {
		m.members[u][group] = map[access.Source]bool{}
	}
	return m.members[u][group]
}

// admins are who is stored as one: all, and those who are active.
func (m *naive) admins() (all, active int) {
	for _, u := range m.users {
		if len(m.sources(u, access.Admin)) > 0 {
			all++
			if u.active {
				active++
			}
		}
	}
	return all, active
}

// last reports whether a change would leave nobody; undo takes it back.
func (m *naive) last(change, undo func()) bool {
	before, active := m.admins()
	change()
	after, left := m.admins()
	bad := left == 0 && active > 0 || after == 0 && before > 0
	if bad {
		undo()
	}
	return bad
}

func (m *naive) createGroup(name string) string {
	if _, there := m.groups[name]; there {
		return "group_exists"
	}
	m.groups[name] = false
	return "ok"
}

func (m *naive) rename(name, to string) string {
	system, there := m.groups[name]
	_, taken := m.groups[to]
	switch {
	case !there:
		return "not_found"
	case name == to:
		return "ok"
	case system:
		return "system_group"
	case taken:
		return "group_exists"
	}
	delete(m.groups, name)
	m.groups[to] = false
	for _, of := range m.members {
		if s, is := of[name]; is {
			of[to] = s
			delete(of, name)
		}
	}
	m.grants[to] = m.grants[name]
	delete(m.grants, name)
	return "ok"
}

func (m *naive) deleteGroup(name string) string {
	system, there := m.groups[name]
	switch {
	case !there:
		return "not_found"
	case system:
		return "system_group"
	}
	delete(m.groups, name)
	delete(m.grants, name)
	for _, of := range m.members {
		delete(of, name)
	}
	return "ok"
}

func (m *naive) addMember(name string, u *someone) string {
	switch _, there := m.groups[name]; {
	case !there:
		return "not_found"
	case name == access.Everyone:
		return "system_group"
	case u == nil:
		return "user_not_found"
	case m.sources(u, name)[access.SourceAdmin]:
		return "already_member"
	}
	m.sources(u, name)[access.SourceAdmin] = true
	return "ok"
}

func (m *naive) removeMember(name string, u *someone) string {
	if _, there := m.groups[name]; !there {
		return "not_found"
	}
	if u == nil {
		return "user_not_found"
	}
	have := m.sources(u, name)
	switch {
	case len(have) == 0:
		return "not_found"
	case !have[access.SourceAdmin]:
		return "not_admin_source " + sourcesOf(have)
	}
	if m.last(func() { delete(have, access.SourceAdmin) }, func() { have[access.SourceAdmin] = true }) {
		return "last_admin"
	}
	return strings.TrimSpace("ok " + sourcesOf(have))
}

func sourcesOf(have map[access.Source]bool) string {
	var all []string
	for _, source := range []access.Source{access.SourceAdmin, access.SourceSync, access.SourceSeed, access.SourceBreakGlass} {
		if have[source] {
			all = append(all, string(source))
		}
	}
	return strings.Join(all, ",")
}

func (m *naive) grant(name, resource string) string {
	if _, there := m.groups[name]; !there {
		return "not_found"
	}
	if m.grants[name] == nil {
		m.grants[name] = map[string]bool{}
	}
	if m.grants[name][resource] {
		return "grant_exists"
	}
	m.grants[name][resource] = true
	return "ok"
}

func (m *naive) revoke(name, resource string) string {
	if !m.grants[name][resource] {
		return "not_found"
	}
	delete(m.grants[name], resource)
	return "ok"
}

func (m *naive) activate(u *someone, to bool) string {
	switch {
	case u == nil:
		return "user_not_found"
	case u.active == to:
		return "ok"
	case !to && m.last(func() { u.active = false }, func() { u.active = true }):
		return "last_admin"
	}
	u.active, u.edited = to, m.minute
	for k := range u.tokens {
		u.tokens[k] = u.tokens[k] && to
	}
	return "ok"
}

func (m *naive) token(u *someone, k string) string {
	switch {
	case u == nil:
		return "user_not_found"
	case !u.active:
		return "user_inactive"
	}
	u.tokens[k] = true
	return "ok"
}

func (m *naive) seed(email string) string {
	u := m.unbound(email)
	if u == nil {
		u = m.find(func(u *someone) bool { return u.email == email })
	}
	if u == nil {
		u = &someone{email: email, active: true, edited: m.minute, tokens: map[string]bool{}}
		m.users = append(m.users, u)
	}
	m.sources(u, access.Admin)[access.SourceSeed] = true
	return "ok"
}

// see takes a token in: groups is nil without a claim.
func (m *naive) see(subject, email, name string, verified bool, minute int, groups []string) {
	u := m.of(subject)
	made := m.unbound(email)
	if !verified {
		made = nil
	}
	fresh := u == nil
	newer := fresh || minute > u.synced && (groups != nil || minute > u.edited)
	switch {
	case fresh && made != nil:
		u = made
		u.bound, u.edited = subject, m.minute
	case fresh:
		u = &someone{bound: subject, active: true, synced: -1000, edited: m.minute, tokens: map[string]bool{}}
		m.users = append(m.users, u)
	case made != nil && made.active && newer:
		for group, have := range m.members[made] {
			for source := range have {
				m.sources(u, group)[source] = true
			}
		}
		delete(m.members, made)
		m.users = slices.DeleteFunc(m.users, func(o *someone) bool { return o == made })
	default:
		made = nil
	}
	before := u.name + u.email
	if newer {
		u.name, u.email = name, ""
		if verified {
			u.email = email
		}
	}
	if made != nil || before != u.name+u.email {
		u.edited = m.minute
	}
	if groups == nil || minute <= u.synced {
		return
	}
	u.synced = minute
	for _, have := range m.members[u] {
		delete(have, access.SourceSync)
	}
	for _, group := range groups {
		if _, there := m.groups[group]; !there {
			m.groups[group] = false
		}
		m.sources(u, group)[access.SourceSync] = true
	}
}

// String is the model as drawn writes a set.
func (m *naive) String() string {
	var all []string
	for _, u := range m.users {
		var good int
		for _, is := range u.tokens {
			if is {
				good++
			}
		}
		all = append(all, fmt.Sprintf("user %s %s %s %t, %d of %d tokens", u.bound, u.email, u.name, u.active, good, len(u.tokens)))
		for group, have := range m.members[u] {
			if len(have) > 0 {
				all = append(all, fmt.Sprintf("member %s/%s of %s by %s", u.bound, u.email, group, sourcesOf(have)))
			}
		}
	}
	for name, system := range m.groups {
		all = append(all, fmt.Sprintf("group %s %t", name, system))
		for resource := range m.grants[name] {
			all = append(all, fmt.Sprintf("grant %s to %s", resource, name))
		}
	}
	slices.Sort(all)
	return strings.Join(all, "\n")
}
