package app_test

import (
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/agnes"
	"github.com/muster-fleet/muster/gateway/agnes/agnestest"
	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/proto/fault"
)

// leftOut writes what was left out: "1 user: has no…".
func leftOut(i *app.Imported) string {
	var b strings.Builder
	for _, l := range i.Left {
		fmt.Fprintf(&b, "%d %s: %s %v\n", l.Count, l.Kind, l.Reason, l.Examples)
	}
	return b.String()
}

// Both schemas come over into both stores, once, with what has no place named.
func TestImport(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		if _, err := app.Migrate(t.Context(), at(store), silent()); err != nil {
			t.Fatal(err)
		}
		tried, err := app.ImportAccess(t.Context(), at(store), agnestest.File(t, 13), true, silent())
		if err != nil {
			t.Fatal(err)
		}
		file := agnestest.File(t, 13)
		got, err := app.ImportAccess(t.Context(), at(store), file, false, silent())
		if err != nil || !reflect.DeepEqual(got, tried) {
			t.Fatalf("the dry run said otherwise: %+v %+v %v", tried, got, err)
		}
		want := []app.ImportedCount{
			{Kind: "user", Read: 6, Brought: 3}, {Kind: "group", Read: 4, Brought: 2, Present: 2},
			{Kind: "membership", Read: 10, Brought: 4}, {Kind: "grant", Read: 7, Brought: 2}, {Kind: "table", Read: 10, Brought: 5},
		}
		if got.Schema != 13 || !reflect.DeepEqual(got.Counts, want) {
			t.Errorf("%+v", got)
		}
		for _, words := range []string{
			"1 user: has no e-mail address, by which alone it could be known again [u-nameless]", "1 user: has the e-mail address of another user",
			"1 user: has an e-mail address that must be", "1 membership: is in Admin by the identity provider", "1 membership: is in Everyone",
			"1 membership: has a source that is not known here [u-alice in f1f1]", "2 membership: is of a user who is not there or was left out",
			"1 membership: is in a group that is not there", "1 grant: is of a group that is not there", "1 grant: is on a table",
			"1 grant: has a type that is not known here [r-6]", "1 grant: has a resource id that is not one of its type, which is slug/plugin [r-4]",
			"1 grant: is another one of the same group and resource", "1 password: ", "1 table: has a sync_schedule that is none here [t-schedule]",
			"1 table: has a name with other characters", "1 table: has a primary key that cannot be read [t-key]", "1 table: has an id with other characters",
			"1 table: has the name of another table of its source", "7 public table: was read by everybody there: here only who is granted its dataset",
			"1 row of personal_access_tokens: ",
		} {
			if !strings.Contains(leftOut(got), words) {
				t.Errorf("%q is not in\n%s", words, leftOut(got))
			}
		}
		again, err := app.ImportAccess(t.Context(), at(store), file, false, silent())
		if err != nil {
			t.Fatal(err)
		}
		for i, c := range again.Counts {
			if c.Brought != 0 || c.Present != want[i].Brought+want[i].Present {
				t.Errorf("the second time: %+v", c)
			}
		}
		// The other schema has the same people but for the orphans.
		other, err := app.ImportAccess(t.Context(), at(store), agnestest.File(t, 14), false, silent())
		if err != nil || other.Schema != 14 || other.Counts[0].Brought+other.Counts[2].Brought+other.Counts[3].Brought+other.Counts[4].Brought != 0 {
			t.Errorf("%+v %v", other, err)
		}
		report, err := app.VerifyAudit(t.Context(), at(store), nil, nil, silent())
		if err != nil || !report.OK {
			t.Errorf("the log does not verify: %+v %v", report, err)
		}
	})
}

// A gateway serves what was imported, and while it runs nothing is.
func TestImportedIsServed(t *testing.T) {
	issuer, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0", Logger: silent()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	eachStore(t, func(t *testing.T, store string) {
		if _, err := app.Migrate(t.Context(), at(store), silent()); err != nil {
			t.Fatal(err)
		}
		if _, err := app.ImportAccess(t.Context(), at(store), agnestest.File(t, 14), false, silent()); err != nil {
			t.Fatal(err)
		}
		d, _ := spawn(t, serving{Store: store, Issuer: issuer.URL(), Secrets: t.TempDir()}, issuer)
		if _, err := app.ImportAccess(t.Context(), at(store), agnestest.File(t, 14), false, silent()); !fault.Is(err, "store_locked") {
			t.Errorf("beside a running gateway: %v", err)
		}
		token := d.token(t, "admin")
		_, groups := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/groups", token, "")
		for _, words := range []string{`"name":"Finance"`, `"name":"data@example.org"`, `"created_by":"Alice@example.org"`} {
			if !strings.Contains(groups, words) {
				t.Errorf("%q is not in %s", words, groups)
			}
		}
		_, grants := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/grants", token, "")
		for _, words := range []string{`"resource_id":"main/finance"`, `"resource_id":"main/data"`} {
			if strings.Count(grants, words) != 1 {
				t.Errorf("%q is not once in %s", words, grants)
			}
		}
		_, tables := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/registry", token, "")
		for _, words := range []string{
			`"count":5`, `{"id":"orders","name":"Orders","source_type":"keboola","bucket":"in.c-crm","source_table":"orders","sync_strategy":"full_refresh"` +
				`,"query_mode":"local","sync_schedule":"every 1h","profile_after_sync":true,"primary_key":["id","line"],"folder":"Sales","description":"All orders"` +
				`,"dataset":"keboola.Orders","registered_by":"Alice@example.org","registered_at":"2026-01-08T08:00:00Z"`,
			`"sync_schedule":"daily 06:00,18:30","profile_after_sync":false,"primary_key":["id","region"]`, `"primary_key":["issue_key"]`,
			`"query_mode":"remote","sync_schedule":"","profile_after_sync":true,"primary_key":["id","line"]`, `{"id":"bare","name":"bare","source_type":"local"`,
		} {
			if !strings.Contains(tables, words) {
				t.Errorf("%s is not in %s", words, tables)
			}
		}
		_, users := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/users", token, "")
		if !strings.Contains(users, `"email":"left@example.org"`) || strings.Contains(users, "BOB@") {
			t.Error(users)
		}
		_, rows := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/audit?action=access.imported", token, "")
		if strings.Count(rows, `"action":"access.imported"`) != 1 || !strings.Contains(rows, `"from":"system.duckdb"`) {
			t.Error(rows)
		}
	})
}

// A file that cannot be imported touches no store.
func TestImportRefuses(t *testing.T) {
	store := "duckdb:" + t.TempDir() + "/muster.db"
	if _, err := app.ImportAccess(t.Context(), at(store), agnestest.File(t, 12), false, silent()); !fault.Is(err, "bad_archive") {
		t.Errorf("another schema: %v", err)
	}
	if _, err := app.ImportAccess(t.Context(), at(store), agnestest.File(t, 14), false, silent()); !fault.Is(err, "no_store") {
		t.Errorf("no store: %v", err)
	}
	if agnes.NewestSchema != 14 {
		t.Error("the fixtures are of another schema than what is read")
	}
}
