package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"unicode"

	"go.yaml.in/yaml/v3"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
)

// reading are commands that print lists or records, with the call that they make.
var reading = []struct{ args, line string }{
	{"group list", "GET /api/admin/groups"},
	{"group members " + idA, "GET /api/admin/groups/" + idA + "/members"},
	{"grant list", "GET /api/admin/grants"},
	{"grant resource-types", "GET /api/admin/resource-types"},
	{"grant who-can worker *", "GET /api/admin/who-can"},
	{"user list", "GET /api/admin/users"},
	{"user groups " + idA, "GET /api/admin/users/" + idA + "/memberships"},
	{"user access " + idA, "GET /api/admin/users/" + idA + "/effective-access"},
	{"token list", "GET /api/tokens"},
	{"token list --all", "GET /api/admin/tokens"},
	{"group show " + idA, "GET /api/admin/groups/" + idA},
	{"table list", "GET /api/admin/registry"},
	{"table show orders", "GET /api/admin/registry/orders"},
	{"user show " + idA, "GET /api/admin/users/" + idA},
}

// everyMember is a record that holds a text in each member that any command shows.
func everyMember(text string) string {
	var members []string
	for _, name := range []string{
		"id", "name", "description", "origin", "created_by", "user_id", "email", "username", "source", "added_by", "group_name",
		"group_id", "resource_type", "resource_id", "assigned_by", "key", "id_format", "issuer", "subject", "deactivated_by",
		"prefix", "last_used_ip", "source_type", "bucket", "source_table", "sync_strategy", "query_mode", "sync_schedule", "folder",
		"dataset", "registered_by",
	} {
		members = append(members, `"`+name+`":`+string(must(json.Marshal(text))))
	}
	members = append(members,
		`"primary_key":[`+string(must(json.Marshal(text)))+`]`, `"scopes":[`+string(must(json.Marshal(text)))+`]`, `"via_groups":[{"group_name":`+string(must(json.Marshal(text)))+`}]`,
		`"created_at":"2026-01-01T00:00:00Z"`, `"expires_at":null`)
	return "{" + strings.Join(members, ",") + "}"
}

// Whatever names people give to what is listed, a table has one line for each, and
// nothing in it moves a cursor; JSON and YAML say the same as the API.
func TestAdminTablesAreHarmless(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		text := rapid.StringOf(rapid.OneOf(rapid.Rune(), rapid.SampledFrom([]rune("\x1b[2J\t\n\r\u202e\u2028\x00\"\\")))).Draw(rt, "text")
		c := rapid.SampledFrom(reading).Draw(rt, "command")
		g := newGateway(t)
		defer g.server.Close()
		record := everyMember(text)
		body, lines := `{"items":[`+record+`,`+record+`],"nextCursor":""}`, 3
		single := strings.Contains(c.args, " show ")
		if single {
			body, lines = record, 0
		}
		g.on(c.line, http.StatusOK, body)
		args := append([]string{"admin"}, strings.Fields(c.args)...)
		r := g.run(args...)
		if r.code != ExitOK || !single && strings.Count(r.out, "\n") != lines {
			rt.Fatalf("%s: %d, %d lines:\n%s%s", c.args, r.code, strings.Count(r.out, "\n"), r.out, r.err)
		}
		for _, ch := range r.out {
			if ch != '\n' && (unicode.IsControl(ch) || unicode.Is(unicode.Cf, ch)) {
				rt.Fatalf("%s: %U reaches the terminal: %q", c.args, ch, r.out)
			}
		}
		if r = g.run(append(args, "-o", "json")...); r.code != ExitOK || compact(t, r.out) != compact(t, body) {
			rt.Fatalf("%s: the records are not the API's: %s\nwant %s", c.args, r.out, body)
		}
		var doc map[string]any
		if r = g.run(append(args, "-o", "yaml")...); r.code != ExitOK || yaml.Unmarshal([]byte(r.out), &doc) != nil {
			rt.Fatalf("%s: no YAML: %s%s", c.args, r.out, r.err)
		}
	})
}

// An answer that is none is told, with what to do, and is never an empty list.
func TestAdminAnswersThatAreNone(t *testing.T) {
	for _, c := range reading {
		g := newGateway(t)
		args := append([]string{"admin"}, strings.Fields(c.args)...)
		for _, body := range []string{"<html></html>", "", `{"items":7}`, `[]`, `7`} {
			g.on(c.line, http.StatusOK, body)
			r := g.run(args...)
			if strings.Contains(c.args, " show ") && strings.HasPrefix(body, "{") {
				continue // a record without any member that is known
			}
			if r.code != ExitFailed || r.out != "" || !strings.Contains(r.err, "not readable") {
				t.Errorf("%s: %q is taken for an answer: %d %s%s", c.args, body, r.code, r.out, r.err)
			}
		}
		g.refuse(c.line, fault.New(fault.Unavailable, "store_unavailable", "later"))
		g.run(args...).want(t, ExitUnavailable, "store_unavailable")
		g.refuse(c.line, fault.New(fault.Unauthenticated, "invalid_token", "no"))
		g.run(args...).want(t, ExitUnauthenticated, "muster login")
		g.refuse(c.line, fault.New(fault.Denied, "denied", "for administrators"))
		g.run(args...).want(t, ExitDenied, "membership in the group Admin")
	}
}

// Every code that the API of access refuses with has something to do about it, and
// the code is shown.
func TestAdminAdvice(t *testing.T) {
	g := newGateway(t)
	kinds := map[string]fault.Kind{
		"user_not_found": fault.NotFound, "revision_mismatch": fault.Precondition, "bad_resource_id": fault.Unprocessable,
		"bad_expires_at": fault.Unprocessable, "unknown_type": fault.Invalid, "scope_denied": fault.Denied,
		"login_token_required": fault.Denied, "insufficient_scope": fault.Denied,
	}
	for code, do := range accessAdvice {
		kind, ok := kinds[code]
		if !ok {
			kind = fault.Conflict
		}
		g.refuse("PATCH /api/admin/groups/"+idA, fault.New(kind, code, "because"))
		g.run("admin", "group", "rename", idA, "x").want(t, codeOfKind(kind), code+": because", "do:    "+do)
	}
	g.refuse("PATCH /api/admin/groups/"+idA, fault.New(fault.NotFound, "not_found", "gone"))
	g.run("admin", "group", "rename", idA, "x").want(t, ExitNotFound, "muster admin group, grant, user, token or table list")
	e := fault.New(fault.Unprocessable, "bad_name", "two mistakes")
	e.Violations = []fault.Violation{{Code: "bad_name", Pointer: "/name", Detail: "is long"}, {Code: "bad_text", Pointer: "/description", Detail: "is longer"}}
	g.refuse("POST /api/admin/groups", e)
	g.run("admin", "group", "create", "x").want(t, ExitFailed, "/name bad_name: is long", "/description bad_text: is longer")
}

// Nothing is a yes but a yes.
func TestConfirmTakesNothingElse(t *testing.T) {
	g := newGateway(t)
	g.on("DELETE /api/admin/grants/"+idA, http.StatusNoContent, "")
	ask := func(answer string) int {
		var errs strings.Builder
		return Run(t.Context(), Process{
			Args: []string{"admin", "grant", "delete", idA}, Environ: []string{"MUSTER_URL=" + g.server.URL, "MUSTER_TOKEN=a.b.c"},
			In: strings.NewReader(answer), Out: &strings.Builder{}, Err: &errs, Asks: true,
		})
	}
	for _, yes := range []string{"y\n", "Y\n", "yes\n", " YES \n", "y", "y\nn\n"} {
		if code := ask(yes); code != ExitOK {
			t.Errorf("%q is no yes: %d", yes, code)
		}
	}
	rapid.Check(t, func(rt *rapid.T) {
		answer := rapid.String().Draw(rt, "answer")
		first, _, _ := strings.Cut(answer, "\n")
		first = strings.ToLower(strings.TrimSpace(first))
		want := ExitFailed
		if first == "y" || first == "yes" {
			want = ExitOK
		}
		if code := ask(answer); code != want {
			rt.Fatalf("%q: %d, want %d", answer, code, want)
		}
	})
}

// Wrong command lines of muster admin ask no gateway.
func TestAdminWrongUsage(t *testing.T) {
	g := newGateway(t)
	for _, args := range []string{
		"", "group", "group lst", "group show", "group show a b", "group create", "group rename a", "group describe a", "group delete",
		"group members", "group add-member a", "group remove-member a", "group list --limit -1", "group list --limit many", "grant",
		"grant create a worker", "grant create a worker * --expires soon", "grant delete", "grant delete a b", "grant delete a b c d",
		"grant who-can worker", "grant resource-types x", "user", "user show", "user list --active maybe", "user deactivate",
		"user deactivate a b", "token", "token create", "token create a b", "token create a --expires 90", "token revoke",
		"token list --limit -1", "group create x --if-match 3", "group list -o xml",
	} {
		r := g.run(append([]string{"admin"}, strings.Fields(args)...)...)
		r.want(t, ExitUsage, "muster: ", "do:    ")
		if r.out != "" || len(g.asked) > 0 {
			t.Errorf("%q: out %q, %d calls", args, r.out, len(g.asked))
			g.asked = nil
		}
	}
}
