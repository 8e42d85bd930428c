package storetest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/table"
)

func tableTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"records":                   testTableRecords,
		"lists":                     testTableLists,
		"ids and names are taken":   testTablesTaken,
		"given up":                  testTablesGivenUp,
		"many":                      testManyTables,
		"service: register":         testRegisterTable,
		"service: update":           testUpdateTable,
		"service: delete":           testDeleteTable,
		"service: everything wrong": testBadTable,
		"service: dry runs":         testTriedTables,
		"service: revisions":        testTableRevisions,
		"service: import":           testImportTables,
		"service: restart":          testTablesReopened,
		"service: replicas":         shared(testTableReplicas),
		"service: one id, many":     shared(testTableRace),
	}
}

// tableOf is the nth table, with a value of everything.
func tableOf(n int) *table.Table {
	return &table.Table{
		ID: fmt.Sprintf("table_%03d", n), Name: fmt.Sprintf("Table_%03d", n), Source: "keboola", Bucket: "in.c-crm", SourceTable: "orders",
		Strategy: table.Incremental, Mode: table.Remote, Schedule: "daily 06:00,18:30", Profile: true,
		PrimaryKey: []string{"order <id>", `li"ne`, "ü, ö"}, Folder: "Sales/Orders ü", Description: "two\nlines <&>",
		RegisteredBy: "admin", RegisteredAt: noon, UpdatedAt: noon, Revision: 1,
	}
}

func insertTables(t testing.TB, s registry.Store, all ...*table.Table) {
	t.Helper()
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.InsertTables(ctx, all) })
}

func testTableRecords(t *testing.T, b Backend) {
	open := b.New(t)
	s := opened(t, open)
	if _, err := s.Table(t.Context(), "table_001"); !errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a table that is not there: %v", err)
	}
	plain := table.New()
	plain.ID, plain.Name, plain.RegisteredAt, plain.UpdatedAt, plain.Revision = "in.c-Crm_x", "plain", noon, noon, 1
	long := tableOf(2)
	long.PrimaryKey = slices.Repeat([]string{strings.Repeat("<", table.MaxColumn)}, table.MaxColumns)
	long.Description = strings.Repeat("ü", table.MaxDescription/2)
	for _, want := range []*table.Table{tableOf(1), &plain, long} {
		insertTables(t, s, want)
		got, err := s.Table(t.Context(), want.ID)
		if err != nil {
			t.Fatal(err)
		}
		equalDeep(t, "table", got, want)
	}
	changed := tableOf(7)
	changed.ID, changed.Name, changed.Profile, changed.PrimaryKey = "table_001", "renamed", false, nil
	changed.Source, changed.Schedule, changed.Revision, changed.UpdatedAt = "postgres", "", 2, noon.Add(time.Hour)
	write(t, s, func(ctx context.Context, tx registry.Tx) error {
		if err := tx.UpdateTable(ctx, changed); err != nil {
			return err
		}
		got, err := tx.Table(ctx, "table_001")
		equalDeep(t, "in the transaction", got, changed)
		return err
	})
	got, err := s.Table(t.Context(), "table_001")
	if err != nil {
		t.Fatal(err)
	}
	equalDeep(t, "after it", got, changed)
	write(t, s, func(ctx context.Context, tx registry.Tx) error { return tx.DeleteTable(ctx, "table_001") })
	for what, fn := range map[string]func(ctx context.Context, tx registry.Tx) error{
		"read":   func(ctx context.Context, tx registry.Tx) error { _, err := tx.Table(ctx, "table_001"); return err },
		"update": func(ctx context.Context, tx registry.Tx) error { return tx.UpdateTable(ctx, changed) },
		"delete": func(ctx context.Context, tx registry.Tx) error { return tx.DeleteTable(ctx, "table_001") },
	} {
		if _, err := s.Write(t.Context(), fn); !errors.Is(err, registry.ErrNotFound) {
			t.Errorf("%s what is gone: %v", what, err)
		}
	}
	insertTables(t, s, tableOf(1)) // in the place of one that is gone
}

// idsOf are the ids of a page.
func idsOf(all []*table.Table) string {
	ids := make([]string, len(all))
	for i, t := range all {
		ids[i] = t.ID
	}
	return strings.Join(ids, " ")
}

func testTableLists(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	// By their bytes: capitals before small letters, dashes and dots before both.
	for i, id := range []string{"b", "B", "a-b", "a.b", "a_b", "ab"} {
		one := tableOf(i)
		one.ID, one.Name = id, "Name_"+strings.NewReplacer("-", "1", ".", "2").Replace(id)
		if i > 3 {
			one.Source = "jira"
		}
		if id == "B" {
			one.Name = "Upper"
		}
		insertTables(t, s, one)
	}
	for _, c := range []struct {
		q     registry.TableQuery
		want  string
		count int
	}{
		{registry.TableQuery{Limit: 10}, "B a-b a.b a_b ab b", 6},
		{registry.TableQuery{Limit: 2}, "B a-b", 6},
		{registry.TableQuery{Limit: 2, After: "a-b"}, "a.b a_b", 6},
		{registry.TableQuery{Limit: 2, After: "a-c"}, "a.b a_b", 6},
		{registry.TableQuery{Limit: 2, After: "b"}, "", 6},
		{registry.TableQuery{Limit: 10, Source: "jira"}, "a_b ab", 2},
		{registry.TableQuery{Limit: 1, Source: "jira", After: "a_b"}, "ab", 2},
		{registry.TableQuery{Limit: 10, Name: "name_AB"}, "ab", 1},
		{registry.TableQuery{Limit: 10, Name: "upper", Source: "keboola"}, "B", 1},
		{registry.TableQuery{Limit: 10, Name: "upper", Source: "jira"}, "", 0},
		{registry.TableQuery{Limit: 10, Source: "' OR 1=1"}, "", 0},
	} {
		all, count, err := s.Tables(t.Context(), c.q)
		if err != nil || idsOf(all) != c.want || count != c.count {
			t.Errorf("%+v: %s of %d: %v", c.q, idsOf(all), count, err)
		}
	}
}

func testTablesTaken(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insertTables(t, s, tableOf(1), tableOf(2))
	sameID, sameName, otherSource := tableOf(3), tableOf(4), tableOf(5)
	sameID.ID = "table_001"
	sameName.Name = "TABLE_001"
	otherSource.Name, otherSource.Source = "table_001", "jira"
	insertTables(t, s, otherSource)
	twice := tableOf(6)
	for what, fn := range map[string]func(ctx context.Context, tx registry.Tx) error{
		"an id":  func(ctx context.Context, tx registry.Tx) error { return tx.InsertTables(ctx, []*table.Table{sameID}) },
		"a name": func(ctx context.Context, tx registry.Tx) error { return tx.InsertTables(ctx, []*table.Table{sameName}) },
		"one id": func(ctx context.Context, tx registry.Tx) error {
			return tx.InsertTables(ctx, []*table.Table{twice, twice})
		},
		"by renaming": func(ctx context.Context, tx registry.Tx) error {
			r := tableOf(2)
			r.Name = "table_001"
			return tx.UpdateTable(ctx, r)
		},
		"by moving": func(ctx context.Context, tx registry.Tx) error {
			r := *otherSource
			r.Source = "keboola"
			return tx.UpdateTable(ctx, &r)
		},
	} {
		if _, err := s.Write(t.Context(), fn); !errors.Is(err, registry.ErrTableTaken) {
			t.Errorf("%s twice: %v", what, err)
		}
	}
	if all, count, err := s.Tables(t.Context(), registry.TableQuery{Limit: 10}); err != nil || count != 3 || len(all) != 3 {
		t.Errorf("%d of %d: %v", len(all), count, err)
	}
}

func testTablesGivenUp(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	insertTables(t, s, tableOf(1))
	_, err := s.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		changed := tableOf(1)
		changed.Name = "changed"
		err := errors.Join(tx.InsertTables(ctx, []*table.Table{tableOf(2)}), tx.UpdateTable(ctx, changed), tx.DeleteTable(ctx, "table_002"))
		return errors.Join(err, errGiveUp)
	})
	if !errors.Is(err, errGiveUp) {
		t.Fatal(err)
	}
	all, count, err := s.Tables(t.Context(), registry.TableQuery{Limit: 10})
	if err != nil || count != 1 {
		t.Fatalf("%d: %v", count, err)
	}
	equalDeep(t, "what was there", all[0], tableOf(1))
}

// testManyTables reads as many tables as an import may bring page by page.
func testManyTables(t *testing.T, b Backend) {
	s := opened(t, b.New(t))
	const many = 5000
	all := make([]*table.Table, many)
	for n := range all {
		all[n] = tableOf(n)
		all[n].ID, all[n].Name = fmt.Sprintf("t%05d", n), fmt.Sprintf("t%05d", n)
	}
	insertTables(t, s, all...)
	read := 0
	for q := (registry.TableQuery{Limit: 700}); ; {
		some, count, err := s.Tables(t.Context(), q)
		if err != nil || count != many {
			t.Fatalf("%d: %v", count, err)
		}
		for _, one := range some {
			if one.ID != all[read].ID {
				t.Fatalf("%s in the place of %s", one.ID, all[read].ID)
			}
			read++
			q.After = one.ID
		}
		if len(some) < q.Limit {
			break
		}
	}
	if read != many {
		t.Errorf("%d were read", read)
	}
}
