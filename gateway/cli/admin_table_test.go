package cli

import (
	"net/http"
	"strings"
	"testing"
)

// The whole life of a table, against a gateway as it is run.
func TestAdminTables(t *testing.T) {
	g := startLive(t)
	g.admin("table", "list").want(t, ExitOK, "ID", "SOURCE")
	g.admin("table", "register", "Orders", "--source", "postgres", "--bucket", "public", "--primary-key", "id, line", "--schedule", "daily 06:00", "--dry-run").
		want(t, ExitOK, "orders", "registered", "a dry run: nothing was changed")
	g.admin("table", "show", "orders").want(t, ExitNotFound, `no table has the id or name "orders"`, "table list")
	g.admin("table", "register", "Orders", "--source", "postgres", "--bucket", "public", "--primary-key", "id, line", "--schedule", "daily 06:00").
		want(t, ExitOK, "orders", "registered")
	g.admin("table", "show", "ORDERS").want(t, ExitOK, "postgres.Orders", "id, line", "daily 06:00", "full_refresh", "admin")
	g.admin("tables", "ls", "--source", "postgres").want(t, ExitOK, "orders", "Orders")
	g.admin("table", "list", "--source", "jira").lack(t, "orders")
	g.admin("table", "list", "--name", "orders", "-o", "json").want(t, ExitOK, `"items"`, `"dataset": "postgres.Orders"`)

	g.admin("table", "register", "orders").want(t, ExitFailed, "table_exists", "table update")
	g.admin("table", "register", "my orders", "--schedule", "hourly", "--mode", "x").
		want(t, ExitFailed, "such as my_orders", "every 15m", "local, remote, materialized")
	g.admin("table", "register").want(t, ExitUsage)
	g.admin("table", "update", "orders").want(t, ExitUsage, "nothing to change", "--schedule")
	g.admin("table", "update", "orders", "--schedule", "", "--profile=false", "--mode", "remote", "--if-match", "1").
		want(t, ExitOK, "query_mode, sync_schedule, profile_after_sync", "revision", "2")
	g.admin("table", "update", "orders", "--folder", "x", "--if-match", "1").want(t, ExitFailed, "revision_mismatch", "table show")
	g.admin("table", "update", "orders", "--name", "all_orders", "-o", "json").want(t, ExitOK, `"updated"`, "revision 3")
	g.admin("table", "show", "orders").want(t, ExitOK, "all_orders", "postgres.all_orders")

	// A name that several sources have is nobody's; an id comes before a name.
	g.admin("table", "register", "people", "--source", "jira").want(t, ExitOK)
	g.admin("table", "register", "persons", "--source", "keboola").want(t, ExitOK)
	g.admin("table", "update", "persons", "--name", "people").want(t, ExitOK)
	g.admin("table", "show", "people").want(t, ExitOK, "jira.people")
	g.admin("table", "update", "people", "--name", "x").want(t, ExitOK)
	g.admin("table", "show", "People").want(t, ExitOK, "keboola.people")
	g.admin("table", "register", "third", "--source", "erp").want(t, ExitOK)
	g.admin("table", "update", "third", "--name", "People").want(t, ExitOK)
	g.admin("table", "show", "PEOPLE").want(t, ExitUsage, "2 tables have the name", "persons, third")

	g.as("alice", "admin", "table", "list").want(t, ExitDenied, "Admin")
	g.asked("n\n", "table", "delete", "all_orders").want(t, ExitFailed, "postgres.all_orders", "nothing was changed")
	g.admin("table", "delete", "orders", "--dry-run").want(t, ExitOK, "would be deleted")
	g.admin("table", "delete", "orders", "--if-match", "1").want(t, ExitFailed, "revision_mismatch")
	g.asked("y\n", "table", "delete", "ALL_ORDERS").want(t, ExitOK, "table orders deleted")
	g.admin("table", "delete", "orders").want(t, ExitNotFound)
	g.admin("audit", "list", "--action", "table.deleted").want(t, ExitOK, "table:orders")
}

// References that are no ids lead nowhere else.
func TestAdminTableReferences(t *testing.T) {
	g := startLive(t)
	for _, ref := range []string{"../groups", "a/../../groups", "a/b", "a?limit=1", "a#b", "%2e%2e", "a b", "\x00", "ü", strings.Repeat("x", 5000)} {
		g.admin("table", "show", ref).want(t, ExitNotFound, "no table has the id or name")
		g.admin("table", "delete", ref).want(t, ExitNotFound)
	}
	for _, ref := range []string{"", ".", ".."} {
		g.admin("table", "show", ref).want(t, ExitUsage)
	}
}

// What is sent is what was given, and nothing else.
func TestAdminTableRequests(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/admin/registry/in.c-x", http.StatusOK, `{"id":"in.c-x","name":"x"}`)
	g.on("PUT /api/admin/registry/in.c-x", http.StatusOK, `{"id":"in.c-x","updated":["folder"]}`)
	g.on("POST /api/admin/register-table", http.StatusCreated, `{"id":"x","name":"x","status":"registered"}`)
	for _, c := range []struct {
		args       []string
		line, body string
	}{
		{[]string{"table", "register", "x"}, "POST /api/admin/register-table", `{"name":"x"}`},
		{
			[]string{"table", "register", "x", "--source", "a", "--bucket", "b", "--source-table", "c", "--strategy", "d", "--mode", "e", "--schedule", "f",
				"--primary-key", "g", "--folder", "h", "--description", "i", "--profile=false", "--dry-run"},
			"POST /api/admin/register-table?dryRun=true",
			`{"bucket":"b","description":"i","folder":"h","name":"x","primary_key":"g","profile_after_sync":false,"query_mode":"e",` +
				`"source_table":"c","source_type":"a","sync_schedule":"f","sync_strategy":"d"}`,
		},
		{[]string{"table", "update", "in.c-x", "--folder", "", "--if-match", "7"}, "PUT /api/admin/registry/in.c-x", `{"folder":""}`},
		{[]string{"table", "update", "in.c-x", "--profile"}, "PUT /api/admin/registry/in.c-x", `{"profile_after_sync":true}`},
	} {
		g.run(append([]string{"admin"}, c.args...)...).want(t, ExitOK)
		last := g.last()
		if last.line != c.line || last.body != c.body {
			t.Errorf("%q sent %s %s", c.args, last.line, last.body)
		}
	}
}
