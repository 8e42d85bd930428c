package storetest

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/table"
)

func registerTable(t testing.TB, s *registry.Service, f registry.TableFields) table.Table {
	t.Helper()
	made, err := s.RegisterTable(t.Context(), admin, f, sure)
	if err != nil {
		t.Fatalf("register a table: %v", err)
	}
	return made
}

// wholeOfTables is everything that a refused change must leave alone.
func wholeOfTables(t testing.TB, s *registry.Service) string {
	t.Helper()
	all, count, err := s.Tables(t.Context(), registry.TableQuery{Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "revision %d, %d rows, %d tables\n", s.Snapshot().Revision, len(audited(t, s)), count)
	for _, one := range all {
		fmt.Fprintf(&b, "%+v\n", *one)
	}
	return b.String()
}

func lastRow(t testing.TB, s *registry.Service) registry.AuditEntry {
	t.Helper()
	rows := audited(t, s)
	return rows[len(rows)-1]
}

func testRegisterTable(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	plain := registerTable(t, s, registry.TableFields{Name: ptr("  Orders_2024 ")})
	if plain.ID != "orders_2024" || plain.Name != "Orders_2024" || plain.Source != "local" || plain.Strategy != table.FullRefresh ||
		plain.Mode != table.Local || plain.Schedule != "" || !plain.Profile || plain.PrimaryKey != nil || plain.RegisteredBy != admin.Username ||
		plain.RegisteredAt.IsZero() || plain.Revision != 1 {
		t.Errorf("%+v", plain)
	}
	full := registerTable(t, s, registry.TableFields{
		Name: ptr("contacts"), Source: ptr("keboola"), Bucket: ptr("in.c-crm"), SourceTable: ptr("contacts"), Strategy: ptr("incremental"),
		Mode: ptr("remote"), Schedule: ptr("*/15 6-18 * * MON-FRI"), Folder: ptr("CRM"), Description: ptr("who\nwe know"),
		Profile: ptr(false), PrimaryKey: &[]string{"id", "region"},
	})
	got, err := s.Table(t.Context(), "contacts")
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "what was registered", got, &full)
	row := lastRow(t, s)
	if row.Action != registry.ActionTableRegistered || row.Resource != "table:contacts" || row.Before != nil || row.Actor.Subject != admin.Subject ||
		said(t, row.After, "source_type") != "keboola" || said(t, row.After, "sync_schedule") != "*/15 6-18 * * MON-FRI" || row.Result != "ok" {
		t.Errorf("%+v", row)
	}
	before := wholeOfTables(t, s)
	for _, c := range []struct {
		name, source, code string
	}{
		{"Orders_2024", "jira", "table_exists"}, {"ORDERS_2024", "local", "table_exists"}, {"contacts", "jira", "table_exists"},
	} {
		_, err := s.RegisterTable(t.Context(), admin, registry.TableFields{Name: &c.name, Source: &c.source}, sure)
		refused(t, err, c.code)
	}
	// An id of another kind, and its name: ids do not tell names.
	if _, _, err := s.UpdateTable(t.Context(), admin, "contacts", registry.TableFields{Name: ptr("people")}, sure); err != nil {
		t.Fatal(err)
	}
	_, err = s.RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr("PEOPLE"), Source: ptr("keboola")}, sure)
	refused(t, err, "table_name_taken")
	_, err = s.RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr("contacts"), Source: ptr("keboola")}, sure)
	refused(t, err, "table_exists")
	registerTable(t, s, registry.TableFields{Name: ptr("PEOPLE"), Source: ptr("jira")})
	if wholeOfTables(t, s) == before {
		t.Error("the comparison sees nothing")
	}
}

func testUpdateTable(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	made := registerTable(t, s, registry.TableFields{
		Name: ptr("orders"), Source: ptr("postgres"), Bucket: ptr("public"), Schedule: ptr("every 1h"), PrimaryKey: &[]string{"id"},
	})
	now, updated, err := s.UpdateTable(t.Context(), admin, "orders", registry.TableFields{
		Name: ptr("all_orders"), Bucket: ptr(""), Schedule: ptr(""), PrimaryKey: &[]string{}, Mode: ptr("local"),
	}, sure)
	if err != nil || strings.Join(updated, " ") != "name bucket sync_schedule primary_key" {
		t.Fatalf("%v: %v", updated, err)
	}
	if now.ID != "orders" || now.Name != "all_orders" || now.Source != "postgres" || now.Bucket != "" || now.PrimaryKey != nil || now.Revision != 2 ||
		!now.RegisteredAt.Equal(made.RegisteredAt) || now.RegisteredBy != made.RegisteredBy {
		t.Errorf("%+v", now)
	}
	got, err := s.Table(t.Context(), "orders")
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "what was updated", got, &now)
	row := lastRow(t, s)
	if row.Action != registry.ActionTableUpdated || said(t, row.Before, "name") != "orders" || said(t, row.After, "name") != "all_orders" ||
		said(t, row.Before, "bucket") != "public" || said(t, row.After, "bucket") != nil {
		t.Errorf("%+v", row)
	}
	// As it is already: nothing happens.
	before := wholeOfTables(t, s)
	same, updated, err := s.UpdateTable(t.Context(), admin, "orders", registry.TableFields{Name: ptr(" all_orders "), Profile: ptr(true)}, sure)
	if err != nil || len(updated) != 0 || same.Revision != 2 {
		t.Errorf("%+v %v %v", same, updated, err)
	}
	_, _, err = s.UpdateTable(t.Context(), admin, "gone", registry.TableFields{Name: ptr("x")}, sure)
	refused(t, err, "not_found")
	_, _, err = s.UpdateTable(t.Context(), admin, "or/de\x00rs", registry.TableFields{}, sure)
	refused(t, err, "not_found")
	if after := wholeOfTables(t, s); after != before {
		t.Errorf("%s\n%s", before, after)
	}
}

func testDeleteTable(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	registerTable(t, s, registry.TableFields{Name: ptr("orders")})
	if err := s.DeleteTable(t.Context(), admin, "orders", sure); err != nil {
		t.Fatal(err)
	}
	row := lastRow(t, s)
	if row.Action != registry.ActionTableDeleted || row.After != nil || said(t, row.Before, "name") != "orders" {
		t.Errorf("%+v", row)
	}
	refused(t, s.DeleteTable(t.Context(), admin, "orders", sure), "not_found")
	refused(t, s.DeleteTable(t.Context(), admin, "", sure), "not_found")
	_, err := s.Table(t.Context(), "orders")
	refused(t, err, "not_found")
	if made := registerTable(t, s, registry.TableFields{Name: ptr("orders")}); made.Revision != 1 {
		t.Errorf("what is made anew goes on from what is gone: %+v", made)
	}
}

// testBadTable finds every mistake at once, in words that tell what to do.
func testBadTable(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	before := wholeOfTables(t, s)
	_, err := s.RegisterTable(t.Context(), admin, registry.TableFields{
		Name: ptr("My Orders"), Source: ptr("Keboola"), Bucket: ptr("a b"), SourceTable: ptr("-x"), Strategy: ptr("all"), Mode: ptr(""),
		Schedule: ptr("hourly"), Folder: ptr("a\x07"), Description: ptr("a\u202eb"), PrimaryKey: &[]string{"id", "id"},
	}, sure)
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Unprocessable || f.Code != "bad_table" {
		t.Fatal(err)
	}
	pointers := map[string]string{}
	for _, v := range f.Violations {
		pointers[v.Pointer] = v.Detail
	}
	for pointer, words := range map[string]string{
		"/name": "such as My_Orders", "/source_type": "must be written keboola", "/bucket": "letters", "/source_table": "not begin",
		"/sync_strategy": "full_refresh, incremental, partitioned", "/query_mode": "local, remote, materialized",
		"/sync_schedule": "every 15m", "/folder": "U+0007", "/description": "U+202E", "/primary_key": "twice",
	} {
		if !strings.Contains(pointers[pointer], words) || len(f.Violations) != 10 {
			t.Errorf("%s: %q of %d", pointer, pointers[pointer], len(f.Violations))
		}
	}
	for _, name := range []string{"", "   ", strings.Repeat("x", 1<<20)} {
		_, err := s.RegisterTable(t.Context(), admin, registry.TableFields{Name: &name}, sure)
		refused(t, err, "bad_table")
		if len(err.Error()) > 1000 {
			t.Errorf("the refusal has %d characters", len(err.Error()))
		}
	}
	if after := wholeOfTables(t, s); after != before {
		t.Errorf("%s\n%s", before, after)
	}
	for _, q := range []registry.TableQuery{{Source: "\x00", Limit: 1}, {Name: "a\x00", Limit: 1}} {
		if all, count, err := s.Tables(t.Context(), q); err != nil || count != 0 || len(all) != 0 {
			t.Errorf("%+v: %d %v", q, count, err)
		}
	}
}

func testTriedTables(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	registerTable(t, s, registry.TableFields{Name: ptr("orders")})
	before := wholeOfTables(t, s)
	made, err := s.RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr("contacts")}, tried)
	if err != nil || made.ID != "contacts" || made.Revision != 1 {
		t.Errorf("%+v %v", made, err)
	}
	now, updated, err := s.UpdateTable(t.Context(), admin, "orders", registry.TableFields{Folder: ptr("x")}, tried)
	if err != nil || now.Revision != 2 || len(updated) != 1 {
		t.Errorf("%+v %v %v", now, updated, err)
	}
	if err := s.DeleteTable(t.Context(), admin, "orders", tried); err != nil {
		t.Error(err)
	}
	// What would be refused is.
	_, err = s.RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr("Orders")}, tried)
	refused(t, err, "table_exists")
	refused(t, s.DeleteTable(t.Context(), admin, "contacts", tried), "not_found")
	if after := wholeOfTables(t, s); after != before {
		t.Errorf("%s\n%s", before, after)
	}
}

func testTableRevisions(t *testing.T, b Backend) {
	s := service(t, b.New(t), newFleet())
	registerTable(t, s, registry.TableFields{Name: ptr("orders")})
	at := func(rev string) registry.Change { return registry.Change{IfMatch: rev} }
	folder := func(f string) registry.TableFields { return registry.TableFields{Folder: &f} }
	if _, _, err := s.UpdateTable(t.Context(), admin, "orders", folder("a"), at(`"1"`)); err != nil {
		t.Fatal(err)
	}
	before := wholeOfTables(t, s)
	_, _, err := s.UpdateTable(t.Context(), admin, "orders", folder("b"), at("1"))
	refused(t, err, "revision_mismatch")
	_, _, err = s.UpdateTable(t.Context(), admin, "orders", folder("a"), at("1"))
	refused(t, err, "revision_mismatch")
	refused(t, s.DeleteTable(t.Context(), admin, "orders", at("1")), "revision_mismatch")
	_, err = s.RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr("other")}, at("*"))
	refused(t, err, "revision_mismatch")
	if after := wholeOfTables(t, s); after != before {
		t.Errorf("%s\n%s", before, after)
	}
	if err := s.DeleteTable(t.Context(), admin, "orders", at("2")); err != nil {
		t.Error(err)
	}
}

func testTablesReopened(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	registerTable(t, s, registry.TableFields{Name: ptr("orders"), PrimaryKey: &[]string{"a", "b"}})
	registerTable(t, s, registry.TableFields{Name: ptr("contacts"), Source: ptr("erp_export")})
	// Closing stores a head of the audit log, which is a revision.
	_, want, _ := strings.Cut(wholeOfTables(t, s), ",")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, got, _ := strings.Cut(wholeOfTables(t, service(t, open, newFleet())), ","); got != want {
		t.Errorf("after reopening there are\n%s\nnot\n%s", got, want)
	}
}

// testTableReplicas: what one replica was told, the others say from then on.
func testTableReplicas(t *testing.T, b Backend) {
	open := b.New(t)
	one, two := service(t, open, newFleet()), service(t, open, newFleet())
	for n := range 5 {
		made := registerTable(t, one, registry.TableFields{Name: ptr(fmt.Sprint("t", n))})
		got, err := two.Table(t.Context(), made.ID)
		if err != nil {
			t.Fatal(err)
		}
		equalDeep(t, "the other's", got, &made)
		if _, _, err := two.UpdateTable(t.Context(), admin, made.ID, registry.TableFields{Folder: ptr("x")}, registry.Change{IfMatch: "1"}); err != nil {
			t.Fatal(err)
		}
		_, _, err = one.UpdateTable(t.Context(), admin, made.ID, registry.TableFields{Folder: ptr("y")}, registry.Change{IfMatch: "1"})
		refused(t, err, "revision_mismatch")
	}
	if _, count, err := two.Tables(t.Context(), registry.TableQuery{Limit: 1}); err != nil || count != 5 {
		t.Errorf("%d: %v", count, err)
	}
}

// testTableRace has many register one table by several replicas: one does.
func testTableRace(t *testing.T, b Backend) {
	open := b.New(t)
	services := []*registry.Service{service(t, open, newFleet()), service(t, open, newFleet()), service(t, open, newFleet())}
	var all sync.WaitGroup
	results := make(chan error, 12)
	for n := range cap(results) {
		all.Go(func() {
			_, err := services[n%len(services)].RegisterTable(t.Context(), admin, registry.TableFields{Name: ptr("orders")}, sure)
			results <- err
		})
	}
	all.Wait()
	close(results)
	won := 0
	for err := range results {
		if err == nil {
			won++
			continue
		}
		refused(t, err, "table_exists")
	}
	rows := 0
	for _, e := range audited(t, services[0]) {
		if e.Action == registry.ActionTableRegistered {
			rows++
		}
	}
	if won != 1 || rows != 1 {
		t.Errorf("%d won, with %d rows in the audit log", won, rows)
	}
}
