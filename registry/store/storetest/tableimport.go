package storetest

import (
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/table"
)

// foreignTables are tables as another store has them, with everything that can be
// wrong with them.
func foreignTables() []registry.ImportTable {
	then := noon.Add(-1000 * time.Hour)
	one := func(id, name string, change func(*registry.ImportTable)) registry.ImportTable {
		i := registry.ImportTable{Table: table.Table{ID: id, Name: name, Source: "keboola", Profile: true, RegisteredBy: "alice", RegisteredAt: then}}
		if change != nil {
			change(&i)
		}
		return i
	}
	return []registry.ImportTable{
		one("in_c-crm_orders", "orders", func(i *registry.ImportTable) { i.KeyText = "['id', 'line']" }),
		one("bare", " bare ", func(i *registry.ImportTable) { i.Table = table.Table{ID: "bare", Name: "bare"} }),
		one("same", "same", nil),
		one("other", "other", nil),
		one("b/ad", "bad", nil),
		one("dashed", "in-dashes", nil),
		one("cased", "ORDERS", nil),
		one("source", "source", func(i *registry.ImportTable) { i.Table.Source = "My ERP" }),
		one("schedule", "schedule", func(i *registry.ImportTable) { i.Table.Schedule = "every  15m" }),
		one("key", "key", func(i *registry.ImportTable) { i.KeyText = "['id" }),
		one("twice", "twice", func(i *registry.ImportTable) { i.KeyText = "id,id" }),
		one("mode", "mode", func(i *registry.ImportTable) { i.Table.Mode = "psychic" }),
		one("strategy", "strategy", func(i *registry.ImportTable) { i.Table.Strategy = "psychic" }),
		one("bucket", "bucket", func(i *registry.ImportTable) { i.Table.Bucket = "'; DROP" }),
		one("folder", "folder", func(i *registry.ImportTable) { i.Table.Folder = "a\x00b" }),
		one("text", "text", func(i *registry.ImportTable) { i.Table.Description = strings.Repeat("x", table.MaxDescription+1) }),
	}
}

func testImportTables(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	registerTable(t, s, registry.TableFields{Name: ptr("same"), Source: ptr("keboola")})
	registerTable(t, s, registry.TableFields{Name: ptr("other"), Source: ptr("jira")})
	in := &registry.Import{From: "x.db", Tables: foreignTables()}
	before := wholeOfTables(t, s)
	dry, err := s.ImportAccess(t.Context(), admin, in, tried)
	if err != nil || wholeOfTables(t, s) != before {
		t.Fatalf("a dry run: %v", err)
	}
	rows := len(audited(t, s))
	r, err := s.ImportAccess(t.Context(), admin, in, sure)
	if err != nil || r.Tables != (registry.ImportCount{Brought: 2, Present: 1}) || dry.Tables != r.Tables || leftOf(dry) != leftOf(r) {
		t.Fatalf("%+v: %v", r, err)
	}
	for _, want := range []string{
		"table other has the id of a table that is registered", "table b/ad has an id", "table dashed has a name with other", "table cased has the name of another",
		"table source has a source", "table schedule has a sync_schedule", "table key has a primary key that cannot be read",
		"table twice has a primary key that cannot be one", "table mode has a query_mode", "table strategy has a sync_strategy",
		"table bucket has a bucket", "table folder has a folder", "table text has a description",
	} {
		if !strings.Contains(leftOf(r), want) {
			t.Errorf("%q was not left out:\n%s", want, leftOf(r))
		}
	}
	if len(r.Left) != 13 {
		t.Errorf("%d were left out", len(r.Left))
	}
	got, err := s.Table(t.Context(), "in_c-crm_orders")
	if err != nil || got.Name != "orders" || strings.Join(got.PrimaryKey, "+") != "id+line" || got.RegisteredBy != "alice" ||
		!got.RegisteredAt.Equal(noon.Add(-1000*time.Hour)) || got.Strategy != table.FullRefresh || got.Revision != 1 {
		t.Errorf("%+v: %v", got, err)
	}
	bare, err := s.Table(t.Context(), "bare")
	if err != nil || bare.Source != "local" || bare.RegisteredBy != admin.Username || bare.RegisteredAt.IsZero() || bare.Profile {
		t.Errorf("%+v: %v", bare, err)
	}
	if actions := actionsOf(accessRows(t, s, rows)); actions != "table.registered table.registered access.imported" {
		t.Errorf("the audit log has %s", actions)
	}
	after := wholeOfTables(t, s)
	if again, err := s.ImportAccess(t.Context(), admin, in, sure); err != nil || again.Tables != (registry.ImportCount{Present: 3}) || wholeOfTables(t, s) != after {
		t.Errorf("a second time: %+v %v", again, err)
	}
}
