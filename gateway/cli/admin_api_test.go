package cli

import (
	"context"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

func groupOf(name string) string {
	return `{"id":"` + idA + `","name":"` + name + `","description":"d\u001b[31m","is_system":false,"origin":"admin",` +
		`"created_at":"2026-01-01T00:00:00Z","created_by":"admin","member_count":1,"grant_count":2}`
}

// Lists are read to their end, entries kept as they came, and shown harmless.
func TestAdminListsFollowPages(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/admin/groups?limit=1000", http.StatusOK, `{"items":[`+groupOf("a")+`],"nextCursor":"c1"}`)
	g.on("GET /api/admin/groups?cursor=c1&limit=1000", http.StatusOK, `{"items":[`+groupOf("evil\\u001b[2J")+`],"nextCursor":""}`)
	r := g.run("admin", "group", "list", "-o", "json")
	r.want(t, ExitOK)
	if want := `{"items":[` + groupOf("a") + `,` + groupOf("evil\\u001b[2J") + `],"nextCursor":""}`; compact(t, r.out) != want {
		t.Errorf("%s\nwant\n%s", compact(t, r.out), want)
	}
	r = g.run("admin", "groups", "ls")
	r.want(t, ExitOK, `evil\x1b[2J`, `d\x1b[31m`)
	r.lack(t, "\x1b")
	// What is asked for at a limit is no more than it.
	g.on("GET /api/admin/groups?limit=3", http.StatusOK, `{"items":[`+groupOf("a")+`,`+groupOf("b")+`],"nextCursor":"c2"}`)
	g.on("GET /api/admin/groups?cursor=c2&limit=1", http.StatusOK, `{"items":[`+groupOf("c")+`],"nextCursor":"c3"}`)
	g.run("admin", "group", "list", "--limit", "3").want(t, ExitOK, "there are more than 3")
	for _, bad := range []string{`{"items":7}`, `<html>`, `{"items":[7],"nextCursor":""}`} {
		g.on("GET /api/admin/groups?limit=1000", http.StatusOK, bad)
		g.run("admin", "group", "list").want(t, ExitFailed, "not readable")
	}
}

// An address that several have is nobody's, unless one of them alone is active.
func TestAdminAmbiguousUser(t *testing.T) {
	g := newGateway(t)
	user := func(id, active string) string {
		return `{"id":"` + id + `","email":"a@example.org","username":"a","active":` + active + `}`
	}
	const list = "GET /api/admin/users?email=a%40example.org&limit=1000"
	g.on("GET /api/admin/users/"+idA, http.StatusOK, user(idA, "true"))
	for _, c := range []struct {
		items string
		code  int
	}{
		{user(idA, "true") + "," + user(idB, "true"), ExitUsage},
		{user(idA, "false") + "," + user(idB, "false"), ExitUsage},
		{user(idA, "true") + "," + user(idB, "false"), ExitOK},
		{user(idA, "false"), ExitOK},
		{"", ExitNotFound},
	} {
		g.on(list, http.StatusOK, `{"items":[`+c.items+`],"nextCursor":""}`)
		r := g.run("admin", "user", "show", "a@example.org")
		r.want(t, c.code)
		if c.code == ExitUsage {
			r.want(t, c.code, "2 users have the e-mail address", idA+", "+idB)
		}
	}
}

// A group whose name looks like an id is reached by its id alone: otherwise whoever
// may name a group could have another one's id point at it.
func TestAdminNamesThatLookLikeIDs(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/admin/groups", http.StatusOK, `{"items":[`+groupOf(idB)+`],"nextCursor":""}`)
	g.on("GET /api/admin/groups/"+idA, http.StatusOK, groupOf(idB))
	g.run("admin", "group", "show", idB).want(t, ExitNotFound)
	g.run("admin", "group", "show", idA).want(t, ExitOK, idB)
	rapid.Check(t, func(rt *rapid.T) {
		ref := rapid.String().Draw(rt, "ref")
		if isID(ref) && len(ref) != 36 {
			rt.Fatalf("%q is taken for an id", ref)
		}
	})
	for _, ref := range []string{"{" + idA + "}", strings.ReplaceAll(idA, "-", ""), "urn:uuid:" + idA, idA + " "} {
		if isID(ref) {
			t.Errorf("%q is taken for an id", ref)
		}
	}
}

// What is sent is what the API takes, and nothing else.
func TestAdminRequests(t *testing.T) {
	g := newGateway(t)
	one := `{"items":[` + groupOf("loaders") + `],"nextCursor":""}`
	g.on("GET /api/admin/groups?limit=1&name=loaders", http.StatusOK, one)
	g.on("PATCH /api/admin/groups/"+idA, http.StatusOK, groupOf("x"))
	g.on("POST /api/admin/grants", http.StatusCreated, `{"id":"`+idB+`","group_name":"loaders"}`)
	g.on("POST /api/tokens", http.StatusCreated, `{"id":"`+idB+`","name":"n","scopes":["read"],"expires_at":null,"token":"mst_x"}`)
	for _, c := range []struct {
		args             []string
		line, body, etag string
	}{
		{
			[]string{"group", "rename", "loaders", "x", "--if-match", `"7"`, "--dry-run"},
			"PATCH /api/admin/groups/" + idA + "?dryRun=true", `{"name":"x"}`, `"7"`,
		},
		{
			[]string{"grant", "create", "loaders", "worker", "*"},
			"POST /api/admin/grants", `{"expires_at":null,"group_id":"` + idA + `","resource_id":"*","resource_type":"worker"}`, "",
		},
		{
			[]string{"grant", "create", "loaders", "worker", "*", "--expires", "2027-01-01T02:00:00+02:00"}, "POST /api/admin/grants",
			`{"expires_at":"2027-01-01T00:00:00Z","group_id":"` + idA + `","resource_id":"*","resource_type":"worker"}`, "",
		},
		{[]string{"token", "create", "n"}, "POST /api/tokens", `{"name":"n"}`, ""},
		{
			[]string{"token", "create", "n", "--scope", "read", "--scope", "worker:a,b", "--expires", "never"},
			"POST /api/tokens", `{"expires_in_days":null,"name":"n","scopes":["read","worker:a,b"]}`, "",
		},
		{[]string{"token", "create", "n", "--expires", "30d"}, "POST /api/tokens", `{"expires_in_days":30,"name":"n"}`, ""},
	} {
		g.run(append([]string{"admin"}, c.args...)...).want(t, ExitOK)
		if got := g.last(); got.line != c.line || got.body != c.body || got.header.Get("If-Match") != c.etag {
			t.Errorf("%q sent %s %s with %q", c.args, got.line, got.body, got.header.Get("If-Match"))
		}
	}
}

// Ends are times, spans or never; a span is from now.
func TestEnds(t *testing.T) {
	now := time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 3650).Draw(rt, "days")
		end, err := endOf((time.Duration(n) * 24 * time.Hour).String(), now)
		same, sameErr := endOf(strconv.Itoa(n)+"d", now)
		if err != nil || sameErr != nil || !end.Equal(*same) || !end.Equal(now.AddDate(0, 0, n)) {
			rt.Fatalf("%d days: %v %v, %v %v", n, end, err, same, sameErr)
		}
	})
	if end, err := endOf("never", now); end != nil || err != nil {
		t.Errorf("never: %v %v", end, err)
	}
}

// Completion offers what there is, keeps quiet when nothing can be asked, and says
// nothing that a terminal would take for a command.
func TestAdminCompletion(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/admin/groups", http.StatusOK,
		`{"items":[`+groupOf("loaders")+`,`+groupOf("evil\\u001b[2J")+`,`+groupOf(idB)+`],"nextCursor":""}`)
	g.on("GET /api/admin/users", http.StatusOK, `{"items":[{"id":"`+idA+`","username":"service-account-x"},`+
		`{"id":"`+idB+`","email":"a@example.org","name":"A"}],"nextCursor":""}`)
	g.on("GET /api/admin/resource-types", http.StatusOK, `{"items":[{"key":"worker","description":"w"}],"nextCursor":""}`)
	g.on("GET /api/admin/access-overview", http.StatusOK, `{"resources":[{"type_key":"worker","blocks":[{"items":[`+
		`{"resource_id":"`+idA+`","name":"clearance"}]}]},{"type_key":"explain","blocks":[{"items":[{"resource_id":"filter"}]}]}]}`)
	g.on("GET /api/tokens", http.StatusOK, `{"items":[{"id":"`+idA+`","name":"ci"},{"id":"`+idB+`","revoked_at":"2026-01-01T00:00:00Z"}],"nextCursor":""}`)
	g.on("GET /api/admin/registry", http.StatusOK, `{"tables":[{"id":"in.c-orders","dataset":"keboola.orders"}],"count":1,"nextCursor":""}`)
	for _, c := range []struct{ args, want, not string }{
		{"table show ", "in.c-orders\tkeboola.orders", "evil"},
		{"table update in.c-orders --mode ", "local\nremote\nmaterialized", "orders"},
		{"table register x --source ", "bigquery\nfiles\njira\nkeboola\nlocal\npostgres", "evil"},
		{"group show ", "loaders\n" + idA, "evil"},
		{"group add-member loaders ", idA + "\tservice-account-x\na@example.org\tA", "loaders"},
		{"group add-member loaders a ", ":4", "loaders"},
		{"grant create loaders ", "worker\tw", "filter"},
		{"grant create loaders worker ", idA + "\tclearance", "filter"},
		{"grant who-can explain ", "filter", idA},
		{"grant list --type ", "worker", "loaders"},
		{"token revoke ", idA + "\tci", idB},
		{"token create x --scope ", "admin\tall that an admin may\nworker:", "loaders"},
		{"user show ", "a@example.org", "loaders"},
	} {
		words := strings.Split(c.args, " ")
		r := g.run(append([]string{"__complete", "admin"}, words...)...)
		if !strings.Contains(strings.ReplaceAll(r.out, "\td\\x1b[31m", ""), c.want) || strings.Contains(r.out, c.not) || strings.Contains(r.out, "\x1b") {
			t.Errorf("%q completes to %q", c.args, r.out)
		}
		r = run(t, []string{"MUSTER_URL=http://127.0.0.1:1"}, append([]string{"__complete", "admin"}, words...)...)
		if r.code != ExitOK || strings.Contains(r.out+r.err, "refused") {
			t.Errorf("without a gateway %q completes to %s%s", c.args, r.out, r.err)
		}
	}
}

// An interrupt ends a command that waits for an answer.
func TestConfirmIsInterrupted(t *testing.T) {
	in, keep, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	s := &shell{Process: Process{In: in, Err: io.Discard, Asks: true}}
	ended := make(chan error, 1)
	go func() { ended <- s.confirm(ctx, "go on?", false) }()
	stop()
	if err := <-ended; err == nil {
		t.Error("an interrupt is taken for a yes")
	}
	if err := keep.Close(); err != nil { // ends the reader
		t.Error(err)
	}
	broken := &shell{Process: Process{In: brokenReader{}, Err: io.Discard, Asks: true}}
	if err := broken.confirm(t.Context(), "go on?", false); err == nil || !strings.Contains(err.Error(), "cannot be read") {
		t.Errorf("a terminal that cannot be read: %v", err)
	}
}

type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrClosedPipe }
