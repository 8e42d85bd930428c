package app_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/agnes/agnestest"
	"github.com/muster-fleet/muster/gateway/app"
)

// Whatever stands in the registry of the other program, nothing comes over that could
// not have been registered here.
func TestImportOfHostileTables(t *testing.T) {
	store := "duckdb:" + filepath.Join(t.TempDir(), "muster.db")
	if _, err := app.Migrate(t.Context(), at(store), silent()); err != nil {
		t.Fatal(err)
	}
	endless := "repeat('col,', 1000000)"
	file := agnestest.File(t, 14, "DELETE FROM table_registry",
		"INSERT INTO table_registry (id, name, source_type, primary_key) VALUES ('long-key', 'a', 'jira', "+endless+")",
		"INSERT INTO table_registry (id, name, source_type, sync_schedule) VALUES ('zone', 'b', 'jira', 'TZ=')",
		"INSERT INTO table_registry (id, name, source_type, bucket) VALUES ('quote', 'c', 'jira', 'x\"; DROP TABLE users; --')",
		"INSERT INTO table_registry (id, name, source_type, folder) VALUES ('bell', 'd', 'jira', chr(7))",
		"INSERT INTO table_registry (id, name, source_type, description) VALUES ('turned', 'e', 'jira', chr(8238))",
		"INSERT INTO table_registry (id, name) VALUES (chr(27) || '[2J', 'f'), ('..', 'g'), (repeat('x', 1000000), 'h'), ('', 'i')",
		"INSERT INTO table_registry (id, name, source_type) VALUES ('good', 'good', 'jira')",
	)
	got, err := app.ImportAccess(t.Context(), at(store), file, false, silent())
	if err != nil {
		t.Fatal(err)
	}
	tables := got.Counts[len(got.Counts)-1]
	if tables.Kind != "table" || tables.Read != 10 || tables.Brought != 1 {
		t.Errorf("%+v", tables)
	}
	if said := leftOut(got); len(said) > 20_000 || strings.Contains(said, strings.Repeat("col,", 10)) {
		t.Errorf("the report has %d characters", len(said))
	}
	for _, words := range []string{
		"1 table: has a primary key that cannot be read [long-key]", "1 table: has a sync_schedule that is none here [zone]", "1 table: has a bucket that",
		"1 table: has a folder that", "1 table: has a description that", "4 table: has an id",
	} {
		if !strings.Contains(leftOut(got), words) {
			t.Errorf("%q is not in\n%s", words, leftOut(got))
		}
	}
}

// Administrators alone read and change the registry, over the gateway as it is run.
func TestTablesOfAGateway(t *testing.T) {
	d := startDev(t, nil)
	admin, alice := d.token(t, "admin"), d.token(t, "alice")
	d.mustCall(t, http.StatusCreated, http.MethodPost, "/api/admin/register-table", admin, `{"name":"orders","source_type":"postgres"}`)
	d.mustCall(t, http.StatusForbidden, http.MethodGet, "/api/admin/registry", alice, "")
	_, overview := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/access-overview", admin, "")
	if !strings.Contains(overview, `"resource_id":"postgres.orders"`) {
		t.Error(overview)
	}
	_, doc := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/openapi.json", admin, "")
	for _, words := range []string{`"/api/admin/registry/{id}"`, `"registerTable"`, `"TableInput"`, `"primary_key"`} {
		if !strings.Contains(doc, words) {
			t.Errorf("%s is not described", words)
		}
	}
}
