package app

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"

	"github.com/muster-fleet/muster/gateway/agnes"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/table"
)

// Imported is what an import has brought, or with a dry run would bring.
type Imported struct {
	// Schema is the version of the file.
	Schema int
	// Counts are by kind, in the order of the kinds.
	Counts []ImportedCount
	// Left is what was left out, by kind and reason.
	Left []ImportedLeft
}

// ImportedCount is what became of the records of one kind.
type ImportedCount struct {
	Kind string
	// Read are all in the file, Brought those new here, Present those here already.
	Read, Brought, Present int
}

// ImportedLeft are records of one kind that were left out for one reason.
type ImportedLeft struct {
	Kind, Reason string
	Count        int64
	// Examples are the first keys, as the file has them.
	Examples []string
}

// mostExamples bounds the keys that are told beside a reason.
const mostExamples = 5

// importedSources are what the sources of the file are here.
var importedSources = map[string]access.Source{
	agnes.SourceAdmin: access.SourceAdmin, agnes.SourceGoogle: access.SourceSync,
	agnes.SourceSeed: access.SourceSeed, agnes.SourceBreakGlass: access.SourceBreakGlass,
}

// whyNot is why rows of tables have no place here.
var whyNot = map[string]string{
	"personal_access_tokens": "is for tokens of the other program, which mean nothing here; make new ones",
	"dataset_permissions":    "gives access to tables: grant their datasets to groups here",
	"access_requests":        "is for requests for access to tables",
	"audit_log":              "tells of the other program, and stays with it",
}

// ImportAccess brings users, groups, memberships, grants and tables over from a file of
// agnes's (see the package), on the store itself and in one transaction. It refuses a
// store that a gateway has open. A second time brings nothing.
func ImportAccess(ctx context.Context, cfg config.Config, file string, dryRun bool, log *slog.Logger) (*Imported, error) {
	archive, err := agnes.Read(ctx, file)
	if err != nil {
		return nil, err
	}
	types, err := authz.NewTypes(authz.Standard()...)
	if err != nil {
		return nil, err
	}
	svc, err := openAlone(ctx, cfg, log)
	if err != nil {
		return nil, err
	}
	m := &moving{types: types, out: &Imported{Schema: archive.Schema}, at: map[string]int{}}
	report, err := svc.ImportAccess(ctx, operator(), m.input(archive, filepath.Base(file)), registry.Change{DryRun: dryRun})
	if err = errors.Join(err, svc.Close(context.WithoutCancel(ctx))); err != nil {
		return nil, err
	}
	m.finish(archive, report)
	return m.out, nil
}

// moving turns an archive into an import, and its report into ours.
type moving struct {
	types *authz.Types
	out   *Imported
	at    map[string]int // places in out.Left
}

func (m *moving) left(kind, key, reason string, n int64) {
	id := kind + "\x00" + reason
	i, known := m.at[id]
	if !known {
		i = len(m.out.Left)
		m.at[id] = i
		m.out.Left = append(m.out.Left, ImportedLeft{Kind: kind, Reason: reason})
	}
	l := &m.out.Left[i]
	l.Count += n
	if key != "" && len(l.Examples) < mostExamples {
		l.Examples = append(l.Examples, key)
	}
}

func (m *moving) input(a *agnes.Archive, from string) *registry.Import {
	in := &registry.Import{From: from}
	for _, u := range a.Users {
		in.Users = append(in.Users, registry.ImportUser{
			Key: u.ID, Email: u.Email, Name: u.Name, Active: u.Active,
			DeactivatedAt: u.DeactivatedAt, DeactivatedBy: u.DeactivatedBy, CreatedAt: u.CreatedAt,
		})
	}
	for _, g := range a.Groups {
		in.Groups = append(in.Groups, registry.ImportGroup{
			Key: g.ID, Name: g.Name, Description: g.Description, CreatedAt: g.CreatedAt, CreatedBy: g.CreatedBy,
		})
	}
	for _, one := range a.Members {
		source, known := importedSources[one.Source]
		if !known {
			m.left(registry.ImportedMember, one.UserID+" in "+one.GroupID, "has a source that is not known here", 1)
			continue
		}
		in.Members = append(in.Members, registry.ImportMember{
			User: one.UserID, Group: one.GroupID, Source: source, AddedAt: one.AddedAt, AddedBy: one.AddedBy,
		})
	}
	m.grants(a, in)
	m.tables(a, in)
	return in
}

// tables takes those whose primary key was read whole: what is cut off of another
// text, no check lets pass.
func (m *moving) tables(a *agnes.Archive, in *registry.Import) {
	for i := range a.Tables {
		t := &a.Tables[i]
		if t.Public {
			m.left("public table", t.ID, "was read by everybody there: here only who is granted its dataset reads it", 1)
		}
		if len(t.PrimaryKey) > agnes.MaxText {
			m.left(registry.ImportedTable, t.ID, "has a primary key that cannot be read", 1)
			continue
		}
		in.Tables = append(in.Tables, registry.ImportTable{KeyText: t.PrimaryKey, Table: table.Table{
			ID: t.ID, Name: t.Name, Source: t.Source, Bucket: t.Bucket, SourceTable: t.SourceTable, Strategy: table.Strategy(t.Strategy),
			Mode: table.Mode(t.Mode), Schedule: t.Schedule, Profile: t.Profile, Folder: t.Folder, Description: t.Description,
			RegisteredBy: t.RegisteredBy, RegisteredAt: t.RegisteredAt,
		}})
	}
}

// grants takes those whose type and resource mean something here.
func (m *moving) grants(a *agnes.Archive, in *registry.Import) {
	seen := map[[3]string]bool{}
	for _, g := range a.Grants {
		switch {
		case strings.EqualFold(g.Type, "table"):
			m.left(registry.ImportedGrant, g.ID, "is on a table, which had no effect there; grant its dataset here", 1)
			continue
		case m.types.Type(g.Type) == nil:
			m.left(registry.ImportedGrant, g.ID, "has a type that is not known here", 1)
			continue
		case strings.TrimSpace(g.Resource) == authz.Wildcard:
			m.left(registry.ImportedGrant, g.ID, "is on *, which meant nothing there and would mean everything here", 1)
			continue
		}
		resource, err := m.types.CheckGrant(g.Type, g.Resource)
		if err != nil {
			m.left(registry.ImportedGrant, g.ID, "has a resource id that is not one of its type, which is "+m.types.Type(g.Type).IDFormat, 1)
			continue
		}
		key := [3]string{g.GroupID, g.Type, resource}
		if seen[key] {
			m.left(registry.ImportedGrant, g.ID, "is another one of the same group and resource but for how the id is written", 1)
			continue
		}
		seen[key] = true
		in.Grants = append(in.Grants, registry.ImportGrant{
			Key: g.ID, Group: g.GroupID, Type: g.Type, Resource: resource, AssignedAt: g.AssignedAt, AssignedBy: g.AssignedBy,
		})
	}
}

func (m *moving) finish(a *agnes.Archive, r *registry.ImportReport) {
	for _, l := range r.Left {
		m.left(l.Kind, l.Key, l.Reason, 1)
	}
	if a.Passwords > 0 {
		m.left("password", "", "is not brought: people log in at the identity provider", a.Passwords)
	}
	for _, name := range agnes.Others() {
		if n := a.Others[name]; n > 0 {
			m.left("row of "+name, "", whyNot[name], n)
		}
	}
	for _, c := range []struct {
		kind  string
		read  int
		count registry.ImportCount
	}{
		{registry.ImportedUser, len(a.Users), r.Users},
		{registry.ImportedGroup, len(a.Groups), r.Groups},
		{registry.ImportedMember, len(a.Members), r.Members},
		{registry.ImportedGrant, len(a.Grants), r.Grants},
		{registry.ImportedTable, len(a.Tables), r.Tables},
	} {
		m.out.Counts = append(m.out.Counts, ImportedCount{Kind: c.kind, Read: c.read, Brought: c.count.Brought, Present: c.count.Present})
	}
}
