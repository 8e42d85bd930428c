package agnes_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/agnes"
	"github.com/muster-fleet/muster/gateway/agnes/agnestest"
)

// tablesOf reads the tables of a file, by id.
func tablesOf(t *testing.T, path string) map[string]agnes.Table {
	t.Helper()
	a, err := agnes.Read(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]agnes.Table{}
	for _, one := range a.Tables {
		all[one.ID] = one
	}
	return all
}

func TestTables(t *testing.T) {
	for version := 13; version <= 14; version++ {
		all := tablesOf(t, agnestest.File(t, version))
		if len(all) != 10 {
			t.Fatalf("v%d: %d tables", version, len(all))
		}
		want := agnes.Table{
			ID: "orders", Name: "Orders", Source: "keboola", Bucket: "in.c-crm", SourceTable: "orders", Strategy: "full_refresh", Mode: "local",
			Schedule: "every 1h", Profile: true, PrimaryKey: `["id", "line"]`, Folder: "Sales", Description: "All orders",
			RegisteredBy: "Alice@example.org", Public: true, RegisteredAt: time.Date(2026, 1, 8, 8, 0, 0, 0, time.UTC),
		}
		if all["orders"] != want {
			t.Errorf("v%d: %+v", version, all["orders"])
		}
		if bare := all["bare"]; bare != (agnes.Table{ID: "bare", Name: "bare", Profile: true}) {
			t.Errorf("v%d: %+v", version, bare)
		}
		if all["in_c-crm_contacts"].Profile || all["in_c-crm_contacts"].Public {
			t.Errorf("v%d: %+v", version, all["in_c-crm_contacts"])
		}
	}
}

// The columns that the registry began with are enough; those that came later are
// null where they are not.
func TestTablesOfEarlierShapes(t *testing.T) {
	first := tablesOf(t, agnestest.File(t, 13, "DROP TABLE table_registry", `CREATE TABLE table_registry (id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL,
folder VARCHAR, sync_strategy VARCHAR, primary_key VARCHAR, description VARCHAR, registered_by VARCHAR, registered_at TIMESTAMP)`,
		"INSERT INTO table_registry VALUES ('a', 'A', 'f', 'full_refresh', 'id', 'd', 'r', TIMESTAMP '2025-01-01 00:00:00')"))
	want := agnes.Table{
		ID: "a", Name: "A", Folder: "f", Strategy: "full_refresh", PrimaryKey: "id", Description: "d", RegisteredBy: "r", Profile: true,
		RegisteredAt: time.Date(2025, 1, 1, 0, 0, 0, 0, time.UTC),
	}
	if first["a"] != want {
		t.Errorf("%+v", first["a"])
	}
	later := tablesOf(t, agnestest.File(t, 14, "ALTER TABLE table_registry ADD COLUMN source_query VARCHAR", "ALTER TABLE table_registry DROP COLUMN is_public"))
	if len(later) != 10 || later["orders"].Public || later["orders"].Schedule != "every 1h" {
		t.Errorf("%d tables, %+v", len(later), later["orders"])
	}
	refuses(t, agnestest.File(t, 14, "DROP TABLE table_registry"), "no table table_registry")
	refuses(t, agnestest.File(t, 14, "DROP TABLE table_registry", "CREATE TABLE table_registry (id VARCHAR)"), "table_registry lacks the column name")
	refuses(t, agnestest.File(t, 14, "DROP TABLE table_registry", "CREATE TABLE table_registry (id VARCHAR, name VARCHAR, profile_after_sync VARCHAR)",
		"INSERT INTO table_registry VALUES ('a', 'b', 'perhaps')"), "table_registry", "other types")
}

// However much stands there, no more is taken into memory than can be kept.
func TestTablesAreBounded(t *testing.T) {
	refuses(t, agnestest.File(t, 14, "INSERT INTO table_registry (id, name) SELECT 't' || i, 't' || i FROM range(100001) AS r(i)"), "more than 100000 rows in table_registry")
	var set []string
	columns := []string{"name", "source_type", "bucket", "source_table", "sync_strategy", "query_mode", "sync_schedule", "primary_key", "folder", "description", "registered_by"}
	for _, column := range columns {
		set = append(set, fmt.Sprintf("%s = repeat('x', 1000000)", column))
	}
	all := tablesOf(t, agnestest.File(t, 14, "UPDATE table_registry SET "+strings.Join(set, ", ")+" WHERE id = 'orders'"))
	one := all["orders"]
	for _, text := range []string{
		one.Name, one.Source, one.Bucket, one.SourceTable, one.Strategy, one.Mode, one.Schedule, one.PrimaryKey, one.Folder, one.Description, one.RegisteredBy,
	} {
		if len(text) != agnes.MaxText+1 {
			t.Errorf("%d bytes", len(text))
		}
	}
}
