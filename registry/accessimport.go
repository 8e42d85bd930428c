package registry

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/access"
)

// ActionAccessImported ends what an import wrote to the audit log.
const ActionAccessImported = "access.imported"

// importTimeout bounds the transaction of an import.
const importTimeout = 10 * time.Minute

// The kinds of records of an import, as reports name them.
const (
	ImportedUser   = "user"
	ImportedGroup  = "group"
	ImportedMember = "membership"
	ImportedGrant  = "grant"
	ImportedTable  = "table"
)

// Import is access control, and the registry of tables, as another store has them.
// Keys are that store's own and mean nothing here; each is unique among its kind.
type Import struct {
	// From names the store for the audit log, without its directory.
	From    string
	Users   []ImportUser
	Groups  []ImportGroup
	Members []ImportMember
	Grants  []ImportGrant
	Tables  []ImportTable
}

// ImportUser is a user, who is known by e-mail address alone.
type ImportUser struct {
	Key, Email, Name string
	Active           bool
	DeactivatedAt    time.Time
	DeactivatedBy    string
	CreatedAt        time.Time
}

// ImportGroup is a group.
type ImportGroup struct {
	Key, Name, Description string
	CreatedAt              time.Time
	CreatedBy              string
}

// ImportMember is a membership by one source.
type ImportMember struct {
	User, Group string
	Source      access.Source
	AddedAt     time.Time
	AddedBy     string
}

// ImportGrant is a grant, whose type and resource the caller has checked.
type ImportGrant struct {
	Key, Group, Type, Resource string
	AssignedAt                 time.Time
	AssignedBy                 string
}

// ImportCount is what became of the records of one kind: those that were new here,
// and those that were here already.
type ImportCount struct{ Brought, Present int }

// ImportLeft is a record that was not brought.
type ImportLeft struct {
	// Kind is one of the Imported constants, Key the record's.
	Kind, Key string
	// Reason is the same text for all of the same reason.
	Reason string
}

// ImportReport is what an import did, or with a dry run would have done.
type ImportReport struct {
	Users, Groups, Members, Grants, Tables ImportCount
	// Left is in the order of the import.
	Left []ImportLeft
}

// ImportAccess brings access control and tables over from another store in one
// transaction, with a row of the audit log for each record and one for all. What is here already
// stays as it is, so that a second time brings nothing. What cannot be brought is
// left out and reported; it makes no error.
func (s *Service) ImportAccess(ctx context.Context, a Actor, in *Import, c Change) (*ImportReport, error) {
	var report *ImportReport
	err := s.decideWithin(ctx, importTimeout, a, c.DryRun, func(ctx context.Context, tx Tx, x *decision) error {
		m := &importer{decision: x, report: &ImportReport{}, users: map[string]access.ID{}, groups: map[string]access.ID{}}
		report = m.report
		for _, step := range []func(*Import) error{m.takeUsers, m.takeGroups, m.takeMembers, m.takeGrants} {
			if err := step(in); err != nil {
				return err
			}
		}
		if err := m.takeTables(ctx, tx, in); err != nil {
			return err
		}
		if !x.delta.Empty() || len(x.tables) > 0 {
			x.note(ActionAccessImported, "access", nil, m.summary(in.From))
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return report, nil
}

// importer works an import out.
type importer struct {
	*decision
	report *ImportReport
	// users and groups are the ids here, by the keys there.
	users, groups map[string]access.ID
}

func (m *importer) left(kind, key, format string, args ...any) {
	m.report.Left = append(m.report.Left, ImportLeft{Kind: kind, Key: key, Reason: fmt.Sprintf(format, args...)})
}

func (m *importer) takeUsers(in *Import) error {
	folded := map[string]bool{}
	for _, i := range byPreference(in.Users) {
		u := &in.Users[i]
		email := strings.TrimSpace(u.Email)
		switch err := access.CheckEmail(email); {
		case email == "":
			m.left(ImportedUser, u.Key, "has no e-mail address, by which alone it could be known again")
			continue
		case err != nil:
			m.left(ImportedUser, u.Key, "has an e-mail address that %v", err)
			continue
		case folded[access.FoldEmail(email)]:
			m.left(ImportedUser, u.Key, "has the e-mail address of another user but for upper and lower case, which is the same here")
			continue
		}
		folded[access.FoldEmail(email)] = true
		if err := m.takeUser(u, email); err != nil {
			return err
		}
	}
	return nil
}

// byPreference is the order in which users are looked at: of those with one address
// an active one comes first.
func byPreference(users []ImportUser) []int {
	order := make([]int, len(users))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case users[a].Active == users[b].Active:
			return 0
		case users[a].Active:
			return -1
		default:
			return 1
		}
	})
	return order
}

func (m *importer) takeUser(u *ImportUser, email string) error {
	old := m.set.UnboundByEmail(access.FoldEmail(email))
	if old == nil {
		found, err := findUser(m.set, email)
		switch {
		case err == nil:
			old = found
		case !fault.Is(err, codeNoUser):
			m.left(ImportedUser, u.Key, "has an e-mail address that several users have here")
			return nil
		}
	}
	if old != nil {
		m.users[u.Key] = old.ID
		m.report.Users.Present++
		return nil
	}
	id, err := newAccessID()
	if err != nil {
		return err
	}
	made := access.User{
		ID: id, Email: email, Name: plain(u.Name), Active: u.Active, CreatedAt: m.at(u.CreatedAt), UpdatedAt: m.now, Revision: 1,
	}
	if !u.Active {
		made.DeactivatedAt, made.DeactivatedBy = m.at(u.DeactivatedAt), m.who(u.DeactivatedBy)
	}
	m.do(access.Delta{Users: []access.User{made}})
	m.note(ActionUserCreated, userResource(id), nil, userForAudit(&made))
	m.users[u.Key] = id
	m.report.Users.Brought++
	return nil
}

func (m *importer) takeGroups(in *Import) error {
	taken := map[access.ID]bool{}
	for i := range in.Groups {
		g := &in.Groups[i]
		name := strings.TrimSpace(g.Name)
		if err := access.CheckGroupName(name); err != nil {
			m.left(ImportedGroup, g.Key, "has a name that %v", err)
			continue
		}
		if old := m.set.GroupByName(name); old != nil {
			if taken[old.ID] {
				m.left(ImportedGroup, g.Key, "has the name of another group but for white space around it")
				continue
			}
			m.groups[g.Key], taken[old.ID] = old.ID, true
			m.report.Groups.Present++
			continue
		}
		made, err := m.importGroup(g, name)
		if err != nil {
			return err
		}
		m.groups[g.Key], taken[made] = made, true
		m.report.Groups.Brought++
	}
	return nil
}

func (m *importer) importGroup(g *ImportGroup, name string) (access.ID, error) {
	id, err := newAccessID()
	if err != nil {
		return id, err
	}
	made := access.Group{
		ID: id, Name: name, Description: g.Description, CreatedAt: m.at(g.CreatedAt), UpdatedAt: m.now,
		CreatedBy: m.who(g.CreatedBy), Revision: 1,
	}
	if access.CheckDescription(made.Description) != nil {
		made.Description = ""
	}
	m.do(access.Delta{Groups: []access.Group{made}})
	m.note(ActionGroupCreated, groupResource(id), nil, groupForAudit(&made))
	return id, nil
}

func (m *importer) takeMembers(in *Import) error {
	for i := range in.Members {
		one := &in.Members[i]
		at := one.User + " in " + one.Group
		user, known := m.users[one.User]
		group, there := m.groups[one.Group]
		switch {
		case !known:
			m.left(ImportedMember, at, "is of a user who is not there or was left out")
			continue
		case !there:
			m.left(ImportedMember, at, "is in a group that is not there or was left out")
			continue
		case !one.Source.Known():
			m.left(ImportedMember, at, "has a source that is not known here")
			continue
		}
		g := m.set.Group(group)
		if g.System && g.Name == access.Everyone {
			m.left(ImportedMember, at, "is in Everyone, which has every user as a member without rows")
			continue
		}
		if g.System && one.Source == access.SourceSync {
			m.left(ImportedMember, at, "is in Admin by the identity provider, which makes nobody one unless access.roleMapping says so")
			continue
		}
		key := access.MemberKey{User: user, Group: group, Source: one.Source}
		if m.set.Member(key) != nil {
			m.report.Members.Present++
			continue
		}
		made := access.Member{MemberKey: key, AddedAt: m.at(one.AddedAt), AddedBy: m.who(one.AddedBy)}
		m.do(access.Delta{Members: []access.Member{made}})
		m.note(ActionMemberAdded, groupResource(group), nil, memberForAudit(m.set, &made))
		m.report.Members.Brought++
	}
	return nil
}

func (m *importer) takeGrants(in *Import) error {
	for i := range in.Grants {
		one := &in.Grants[i]
		group, there := m.groups[one.Group]
		switch why := badText(one.Resource); {
		case !there:
			m.left(ImportedGrant, one.Key, "is of a group that is not there or was left out")
			continue
		case why != "" || one.Resource == "" || one.Type == "" || badText(one.Type) != "":
			m.left(ImportedGrant, one.Key, "has a type or resource that cannot be kept")
			continue
		case m.set.GrantFor(group, one.Type, one.Resource) != nil:
			m.report.Grants.Present++
			continue
		}
		id, err := newAccessID()
		if err != nil {
			return err
		}
		made := access.Grant{
			ID: id, Group: group, Type: one.Type, Resource: one.Resource, AssignedAt: m.at(one.AssignedAt), AssignedBy: m.who(one.AssignedBy),
		}
		m.do(access.Delta{Grants: []access.Grant{made}})
		m.note(ActionGrantCreated, grantResource(id), nil, grantForAudit(m.set, &made))
		m.report.Grants.Brought++
	}
	return nil
}

// at is a time of the other store, or now when it has none.
func (m *importer) at(t time.Time) time.Time {
	if t.IsZero() || t.After(m.now) || t.Year() < 1970 {
		return m.now
	}
	return stored(t)
}

// who is a name of the other store, or who imports when it has none.
func (m *importer) who(name string) string {
	if name = plain(name); name != "" {
		return name
	}
	return m.by()
}

// plain is a text that can be kept, else none.
func plain(text string) string {
	if text = strings.TrimSpace(text); badText(text) != "" {
		return ""
	}
	return text
}

// importJSON is the row of an import in the audit log.
type importJSON struct {
	From    string `json:"from"`
	Users   int    `json:"users"`
	Groups  int    `json:"groups"`
	Members int    `json:"members"`
	Grants  int    `json:"grants"`
	Tables  int    `json:"tables"`
	LeftOut int    `json:"left_out"`
}

func (m *importer) summary(from string) importJSON {
	r := m.report
	return importJSON{
		From: plain(from), Users: r.Users.Brought, Groups: r.Groups.Brought,
		Members: r.Members.Brought, Grants: r.Grants.Brought, Tables: r.Tables.Brought, LeftOut: len(r.Left),
	}
}
