package registry

import (
	"context"
	"errors"
	"strings"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/table"
)

// The names of what is done with tables, in the audit log.
const (
	ActionTableRegistered = "table.registered"
	ActionTableUpdated    = "table.updated"
	ActionTableDeleted    = "table.deleted"
)

const (
	codeBadTable     = "bad_table"
	codeTableExists  = "table_exists"
	codeTableName    = "table_name_taken"
	codeTooManyTable = "too_many_tables"
)

// TableFields is what a request says of a table; nil for what it does not mention. A
// request that clears a member gives its default: see table.New.
type TableFields struct {
	Name, Source, Bucket, SourceTable *string
	Strategy, Mode, Schedule          *string
	Folder, Description               *string
	Profile                           *bool
	PrimaryKey                        *[]string
	// Violations are what the reader of the request has found wrong already; they
	// are reported together with the rest.
	Violations []fault.Violation
}

// apply puts what the request says into a table.
func (f *TableFields) apply(t *table.Table) {
	put(&t.Name, f.Name)
	put(&t.Source, f.Source)
	put(&t.Bucket, f.Bucket)
	put(&t.SourceTable, f.SourceTable)
	put(&t.Strategy, f.Strategy)
	put(&t.Mode, f.Mode)
	put(&t.Schedule, f.Schedule)
	put(&t.Folder, f.Folder)
	put(&t.Description, f.Description)
	if f.Profile != nil {
		t.Profile = *f.Profile
	}
	if f.PrimaryKey != nil {
		t.PrimaryKey = keyOrNone(*f.PrimaryKey)
	}
}

func put[T ~string](to *T, from *string) {
	if from != nil {
		*to = T(*from)
	}
}

// keyOrNone has one form for no key.
func keyOrNone(columns []string) []string {
	if len(columns) == 0 {
		return nil
	}
	return columns
}

// checkTable finds everything that is wrong with a table but its id.
func checkTable(t *table.Table, v *violations) {
	for _, m := range []struct {
		pointer, value string
		err            error
	}{
		{"/name", t.Name, table.CheckName(t.Name)},
		{"/source_type", t.Source, table.CheckSource(t.Source)},
		{"/bucket", t.Bucket, table.CheckUpstream(t.Bucket)},
		{"/source_table", t.SourceTable, table.CheckUpstream(t.SourceTable)},
		{"/sync_strategy", string(t.Strategy), table.CheckStrategy(t.Strategy)},
		{"/query_mode", string(t.Mode), table.CheckMode(t.Mode)},
		{"/sync_schedule", t.Schedule, table.CheckSchedule(t.Schedule)},
		{"/folder", t.Folder, table.CheckFolder(t.Folder)},
		{"/description", "", table.CheckDescription(t.Description)},
		{"/primary_key", "", table.CheckKey(t.PrimaryKey)},
	} {
		switch {
		case m.err == nil:
		case m.value == "":
			v.add(codeBadTable, m.pointer, "%v", m.err)
		default:
			v.add(codeBadTable, m.pointer, "%s %v", shown(m.value), m.err)
		}
	}
}

// RegisterTable adds a table; its id is made of its name. table_exists when there is
// one of that id, table_name_taken when the source has one of that name. Everything
// that is wrong with the fields is reported at once.
func (s *Service) RegisterTable(ctx context.Context, a Actor, f TableFields, c Change) (table.Table, error) {
	made := table.New()
	f.apply(&made)
	made.Name = strings.TrimSpace(made.Name)
	made.ID = table.IDOf(made.Name)
	v := violations{list: f.Violations}
	checkTable(&made, &v)
	if err := v.err(); err != nil {
		return table.Table{}, err
	}
	if err := matchesNone("the table", c.IfMatch); err != nil {
		return table.Table{}, err
	}
	err := s.changeTable(ctx, func(ctx context.Context, tx Tx) error {
		now := s.now()
		made.RegisteredBy, made.RegisteredAt, made.UpdatedAt, made.Revision = storable(a.Username), now, now, 1
		if err := freeTable(ctx, tx, &made, nil); err != nil {
			return err
		}
		if c.DryRun {
			return errDryRun
		}
		if err := tx.InsertTables(ctx, []*table.Table{&made}); err != nil {
			return err
		}
		return auditTable(ctx, tx, a, ActionTableRegistered, now, nil, &made)
	})
	if err != nil {
		return table.Table{}, err
	}
	return made, nil
}

// UpdateTable changes what the fields mention; the id stays, whatever the name
// becomes. It returns the table and the names of the members that are otherwise
// than before, none when all is as wished already.
func (s *Service) UpdateTable(
	ctx context.Context, a Actor, id string, f TableFields, c Change,
) (now table.Table, updated []string, err error) {
	err = s.changeTable(ctx, func(ctx context.Context, tx Tx) error {
		before, err := tableForUpdate(ctx, tx, id, c.IfMatch)
		if err != nil {
			return err
		}
		now = *before
		f.apply(&now)
		if f.Name != nil {
			now.Name = strings.TrimSpace(now.Name)
		}
		v := violations{list: f.Violations}
		checkTable(&now, &v)
		if err := v.err(); err != nil {
			return err
		}
		if updated = before.Changed(&now); len(updated) == 0 {
			return errUnchanged
		}
		if err := freeTable(ctx, tx, &now, before); err != nil {
			return err
		}
		now.UpdatedAt = s.now()
		now.Revision++
		if c.DryRun {
			return errDryRun
		}
		if err := tx.UpdateTable(ctx, &now); err != nil {
			return err
		}
		return auditTable(ctx, tx, a, ActionTableUpdated, now.UpdatedAt, before, &now)
	})
	if err != nil {
		return table.Table{}, nil, err
	}
	return now, updated, nil
}

// DeleteTable removes a table. Grants on its dataset stay, as all grants stay whose
// resource goes.
func (s *Service) DeleteTable(ctx context.Context, a Actor, id string, c Change) error {
	return s.changeTable(ctx, func(ctx context.Context, tx Tx) error {
		before, err := tableForUpdate(ctx, tx, id, c.IfMatch)
		if err != nil {
			return err
		}
		if c.DryRun {
			return errDryRun
		}
		if err := tx.DeleteTable(ctx, id); err != nil {
			return err
		}
		return auditTable(ctx, tx, a, ActionTableDeleted, s.now(), before, nil)
	})
}

// Table returns one table; not_found when there is none.
func (s *Service) Table(ctx context.Context, id string) (*table.Table, error) {
	if table.CheckID(id) != nil { // stores need not take every text
		return nil, noTable(id)
	}
	t, err := s.store.Table(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, noTable(id)
	}
	return t, err
}

// Tables returns the tables that a query asks for, ordered by id, and how many there
// are in all pages together. A source or name that no table can have has none.
func (s *Service) Tables(ctx context.Context, q TableQuery) ([]*table.Table, int, error) {
	if !possible(q.Source, table.CheckSource) || !possible(q.Name, table.CheckName) {
		return nil, 0, nil
	}
	return s.store.Tables(ctx, q)
}

// possible reports whether a text that narrows a list is none, or one that a table
// can have: stores need not take every text.
func possible(text string, check func(string) error) bool { return text == "" || check(text) == nil }

// changeTable runs a change of tables. One that is only tried, and one that changes
// nothing, are good.
func (s *Service) changeTable(ctx context.Context, fn func(ctx context.Context, tx Tx) error) error {
	err := s.write(ctx, fn, &written{})
	if errors.Is(err, errDryRun) || errors.Is(err, errUnchanged) {
		return nil
	}
	return err
}

// tableForUpdate is one that must be there, and of the revision that If-Match asks
// for.
func tableForUpdate(ctx context.Context, tx Tx, id, ifMatch string) (*table.Table, error) {
	if table.CheckID(id) != nil {
		return nil, noTable(id)
	}
	t, err := tx.Table(ctx, id)
	if errors.Is(err, ErrNotFound) {
		return nil, noTable(id)
	}
	if err != nil {
		return nil, err
	}
	return t, matchesAccess("table "+shown(id), t.Revision, ifMatch)
}

// freeTable refuses a table whose id, or whose name within its source, another one
// has. before is what it was, or nil for a new one.
func freeTable(ctx context.Context, tx Tx, t, before *table.Table) error {
	if before == nil {
		if err := freeID(ctx, tx, t.ID); err != nil {
			return err
		}
	}
	same, _, err := tx.Tables(ctx, TableQuery{Source: t.Source, Name: t.Name, Limit: 2})
	if err != nil {
		return err
	}
	for _, other := range same {
		if other.ID != t.ID {
			return fault.New(fault.Conflict, codeTableName, "the source %s has a table named %s already, with the id %s; names differ in more than case",
				t.Source, shown(other.Name), shown(other.ID))
		}
	}
	return nil
}

func freeID(ctx context.Context, tx Tx, id string) error {
	switch other, err := tx.Table(ctx, id); {
	case err == nil:
		return fault.New(fault.Conflict, codeTableExists, "there is a table with the id %s already, named %s; update or delete that one", shown(id), shown(other.Name))
	case !errors.Is(err, ErrNotFound):
		return err
	}
	_, count, err := tx.Tables(ctx, TableQuery{Limit: 1})
	if err == nil && count >= table.MaxTables {
		err = fault.New(fault.Conflict, codeTooManyTable, "%d tables are registered, and no more are taken; delete some", count)
	}
	return err
}

func noTable(id string) error {
	return fault.New(fault.NotFound, "not_found", "there is no table with the id %s", shown(id))
}
