package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/table"
)

// scribbledTables is how many tables Scribble works on.
const scribbledTables = 6

func tableResource(id string) string { return "table:" + id }

// scribbleTable registers, changes or removes a table.
func scribbleTable(ctx context.Context, s *registry.Service, r *rand.Rand) (action, resource string, err error) {
	name := fmt.Sprint("scribbled_", r.IntN(scribbledTables))
	resource = tableResource(name)
	words := fmt.Sprint("words ", r.Uint64())
	fields := registry.TableFields{Description: &words, PrimaryKey: &[]string{words}}
	switch _, err = s.Table(ctx, name); {
	case err != nil && r.IntN(2) == 0:
		fields.Name, fields.Source = &name, ptr("keboola")
		_, err = s.RegisterTable(ctx, admin, fields, sure)
		return registry.ActionTableRegistered, resource, err
	case err != nil:
		fields.Name = &name
		_, err = s.RegisterTable(ctx, admin, fields, sure)
		return registry.ActionTableRegistered, resource, err
	case r.IntN(3) == 0:
		return registry.ActionTableDeleted, resource, s.DeleteTable(ctx, admin, name, sure)
	default:
		_, _, err = s.UpdateTable(ctx, admin, name, fields, sure)
		return registry.ActionTableUpdated, resource, err
	}
}

// tableLedger is what the audit log tells of tables, by id.
type tableLedger map[string]tableRow

// tableRow is a table as the audit log has it.
type tableRow struct {
	Name        string    `json:"name"`
	Source      string    `json:"source_type"`
	Description string    `json:"description"`
	PrimaryKey  []string  `json:"primary_key"`
	UpdatedAt   time.Time `json:"updated_at"`
	Revision    int64     `json:"revision"`
}

func parseTableRow(t testing.TB, data []byte) *tableRow {
	t.Helper()
	if data == nil {
		return nil
	}
	var row tableRow
	if err := json.Unmarshal(data, &row); err != nil {
		t.Fatalf("a row of the audit log: %v", err)
	}
	return &row
}

func (r tableRow) String() string {
	return fmt.Sprint(r.Name, r.Source, r.Description, r.PrimaryKey, r.UpdatedAt.UTC(), r.Revision)
}

// replay takes in one row of the log.
func (l *tableLedger) replay(t testing.TB, e registry.AuditEntry) {
	t.Helper()
	if *l == nil {
		*l = tableLedger{}
	}
	id := e.Resource[len(tableResource("")):]
	before, after := parseTableRow(t, e.Before), parseTableRow(t, e.After)
	was, there := (*l)[id]
	if there != (before != nil) || there && was.String() != before.String() {
		t.Fatalf("row %d says that before it was %v, but it was %v", e.Number, before, was)
	}
	delete(*l, id)
	if after != nil {
		(*l)[id] = *after
	}
}

// check compares the tables of the store with what the log tells.
func (l *tableLedger) check(t testing.TB, s registry.Store) {
	t.Helper()
	all, count, err := s.Tables(t.Context(), registry.TableQuery{Limit: table.MaxTables})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != len(*l) || count != len(*l) {
		t.Fatalf("%d tables, of which the audit log tells %d", len(all), len(*l))
	}
	for _, one := range all {
		row := tableRow{one.Name, one.Source, one.Description, one.PrimaryKey, one.UpdatedAt, one.Revision}
		if told := (*l)[one.ID]; row.String() != told.String() {
			t.Fatalf("the table %s is %v, not the audit log's %v", one.ID, row, told)
		}
	}
}

// exerciseTables changes and removes every table there is, and makes new ones.
func exerciseTables(t testing.TB, s *registry.Service) {
	t.Helper()
	all, _, err := s.Tables(t.Context(), registry.TableQuery{Limit: table.MaxTables})
	if err != nil {
		t.Fatal(err)
	}
	for _, one := range all {
		if _, _, err := s.UpdateTable(t.Context(), admin, one.ID, registry.TableFields{Name: ptr("other_" + one.Name)}, sure); err != nil {
			t.Fatalf("update what was there before the kill: %v", err)
		}
		if err := s.DeleteTable(t.Context(), admin, one.ID, sure); err != nil {
			t.Fatalf("remove what was there before the kill: %v", err)
		}
	}
	for n := range scribbledTables / 2 {
		if _, err := s.RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr(fmt.Sprint("scribbled_", n))}, sure); err != nil {
			t.Fatal(err)
		}
	}
}
