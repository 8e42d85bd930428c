package edge_test

import (
	"bufio"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/workers/token"
)

// line sends a request as it is written and returns the answer's status.
func line(t *testing.T, addr, method, target, who string, fields ...string) (int, http.Header) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	text := method + " " + target + " HTTP/1.1\r\nHost: gateway\r\nConnection: close\r\n"
	if who != "" {
		text += "Authorization: Bearer " + who + "\r\n"
	}
	for _, f := range fields {
		text += f + "\r\n"
	}
	if _, err := conn.Write([]byte(text + "\r\n")); err != nil {
		t.Fatal(err)
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), &http.Request{Method: method})
	if err != nil {
		t.Fatalf("%s %s: %v", method, target, err)
	}
	_ = resp.Body.Close()
	return resp.StatusCode, resp.Header
}

// However a path is written, it leads past no guard, and nobody is sent elsewhere.
func TestPathsLeadPastNoGuard(t *testing.T) {
	r := setUp(t, 1<<30)
	guard, err := r.d.Gate.Guard("GET /api/workers")
	if err != nil {
		t.Fatal(err)
	}
	behind := func(w http.ResponseWriter, req *http.Request) {
		if _, err := guard(req); err != nil {
			fault.From(err).WriteProblem(w)
			return
		}
		w.WriteHeader(http.StatusTeapot)
	}
	addr := r.http(t,
		edge.Route{Pattern: "/api/tea", Handler: http.HandlerFunc(behind), Endpoint: "tea"},
		edge.Route{Pattern: "/api/tea/", Handler: http.HandlerFunc(behind), Endpoint: "tea"},
		edge.Route{Pattern: "/api/pots/", Handler: http.HandlerFunc(behind), Endpoint: "pots"},
	)
	for target, want := range map[string]int{
		"/api/tea": 418, "/api/tea/x": 418, "/api/tea/": 418, "/api/pots": 418, "/api/pots/": 418, "/api/pots/a%2Fb": 418, "/api/%74ea": 418,
		"//api/tea": 404, "/api//tea": 404, "/api/tea//x": 404, "/api/./tea": 404, "/api/x/../tea": 404, "/api/tea/..": 404,
		"/API/tea": 404, "/api/tea%2Fx": 404, "/api%2Ftea": 404, "/api/tea;x=1": 404, "/api/tea%00": 404,
		"/api/%2e%2e/tea": 404, "http://elsewhere/api//tea": 404, "/nothing": 404, "/x/": 404,
	} {
		for _, method := range []string{"GET", "POST", "HEAD", "OPTIONS", "TRACE", "PROPFIND", "get"} {
			got, head := line(t, addr, method, target, "admin", "Content-Length: 0")
			if got != want || head.Get("Location") != "" {
				t.Errorf("%s %s: %d %s, want %d", method, target, got, head.Get("Location"), want)
			}
			if got, head := line(t, addr, method, target, "", "Content-Length: 0"); got != 401 || head.Get("Location") != "" {
				t.Errorf("%s %s of a stranger: %d", method, target, got)
			}
		}
	}
	for _, odd := range []struct{ method, target string }{{"OPTIONS", "*"}, {"CONNECT", "gateway:443"}, {"CONNECT", "/api/pots"}, {"POST", "/"}} {
		if got, head := line(t, addr, odd.method, odd.target, "", "Content-Length: 0"); got != 401 || head.Get("Location") != "" {
			t.Errorf("%v of a stranger: %d", odd, got)
		}
	}
}

// A header that names another method or path changes neither.
func TestNothingOverridesTheMethod(t *testing.T) {
	addr := setUp(t, 1<<30).http(t)
	for _, field := range []string{
		"X-HTTP-Method-Override: POST", "X-HTTP-Method: POST", "X-Method-Override: POST", "X-Original-URL: /", "X-Rewrite-URL: /",
		"X-Forwarded-Prefix: /", "X-Forwarded-User: admin", "X-Remote-User: admin", "Cookie: access_token=admin", "Proxy-Authorization: Bearer admin",
	} {
		if got, _ := line(t, addr, "GET", "/api/graph-security/filter", "alice", field); got != 405 {
			t.Errorf("%s: %d", field, got)
		}
		if got, _ := line(t, addr, "GET", "/api/graph-security/filter", "", field); got != 401 {
			t.Errorf("%s of a stranger: %d", field, got)
		}
	}
	for _, twice := range [][]string{
		{"Authorization: Bearer admin"}, {"authorization: Bearer alice"}, {"Authorization: Basic YTpi"}, {"Authorization:"},
	} {
		if got, _ := line(t, addr, "GET", "/nothing", "admin", twice...); got != 401 {
			t.Errorf("a second header %q: %d", twice, got)
		}
	}
	for _, one := range []string{"admin,alice", "admin alice", "\tadmin x"} {
		if got, _ := line(t, addr, "GET", "/nothing", one); got != 401 {
			t.Errorf("%q: %d", one, got)
		}
	}
	if got, _ := line(t, addr, "GET", "/nothing?access_token=admin", ""); got != 401 {
		t.Errorf("a token in the query: %d", got)
	}
}

// A call has one token, and what is sent beside it counts for nothing.
func TestGRPCMetadataTwice(t *testing.T) {
	_, conn := setUp(t, 1<<30).grpc(t)
	for name, c := range map[string]struct {
		md   []string
		want codes.Code
	}{
		"twice the same":       {[]string{"authorization", "Bearer alice", "authorization", "Bearer alice"}, codes.Unauthenticated},
		"two people":           {[]string{"authorization", "Bearer alice", "authorization", "Bearer admin"}, codes.Unauthenticated},
		"in other letters":     {[]string{"Authorization", "Bearer alice", "AUTHORIZATION", "Bearer admin"}, codes.Unauthenticated},
		"one after a bad one":  {[]string{"authorization", "", "authorization", "Bearer admin"}, codes.Unauthenticated},
		"joined":               {[]string{"authorization", "Bearer alice, Bearer admin"}, codes.Unauthenticated},
		"as bytes":             {[]string{"authorization-bin", "Bearer alice"}, codes.Unauthenticated},
		"by another name":      {[]string{"x-authorization", "Bearer alice", "cookie", "access_token=alice"}, codes.Unauthenticated},
		"beside another field": {[]string{"authorization", "Bearer alice", "x-request-id", "a", "x-request-id", "b"}, codes.InvalidArgument},
	} {
		ctx := metadata.AppendToOutgoingContext(t.Context(), c.md...)
		s, err := gatewayv1.NewGraphSecurityClient(conn).Filter(ctx)
		if err == nil {
			_ = s.CloseSend() // what comes back tells why
			_, err = s.Recv()
		}
		if status.Code(err) != c.want {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
	}
}

// stored is a snapshot in which people are known: loader and person write rules by
// a grant each, root is an administrator by a row.
func stored() *registry.Snapshot {
	s := withAdmin(faulttest.Snapshot())
	d := access.Delta{Groups: []access.Group{{ID: access.ID{9}, Name: "writers"}}, Grants: []access.Grant{
		{ID: access.ID{8}, Group: access.ID{9}, Type: "graph_rules", Resource: "write"},
	}}
	for i, name := range []string{"loader", "person", "root"} {
		id, in := access.ID{7, byte(i)}, access.ID{9}
		if name == "root" {
			in = access.ID{1}
		}
		d.Users = append(d.Users, access.User{ID: id, Issuer: "https://issuer.test", Subject: "id-of-" + name, Username: name, Active: true})
		d.Members = append(d.Members, access.Member{MemberKey: access.MemberKey{User: id, Group: in, Source: access.SourceAdmin}})
	}
	return s.WithAccess(s.Access.With(&d))
}

// Without the management audience nothing is managed, but for rules, by the account
// of a client that has the grant itself.
func TestTokensForTheServiceAlone(t *testing.T) {
	somebody := func(subject, username, client string, roles ...string) *token.Principal {
		return &token.Principal{
			Issuer: "https://issuer.test", Subject: "id-of-" + subject, Username: username, Client: client, Audience: []string{"muster"}, RealmRoles: roles,
		}
	}
	all := people{
		"service":         somebody("loader", "service-account-loader", "loader"),
		"service-by-role": somebody("x", "service-account-x", "x", "muster-admin"),
		"other-client":    somebody("loader", "service-account-loader", "graph-service"),
		"no-client":       somebody("loader", "service-account-", ""),
		"prefixed":        somebody("loader", "corp:service-account-loader", "loader"),
		"person":          somebody("person", "person", "graph-service"),
		"root":            somebody("root", "root", "graph-service"),
		"stranger":        somebody("stranger", "service-account-stranger", "stranger"),
	}
	maps.Copy(all, everybody)
	gate := gateOf(t, all, "muster-admin", stored)
	const post, own, mine, workers = "POST /api/graph-access-rule/accessRules", "DELETE /api/graph-access-rule/accessRules",
		"GET /api/graph-access-rule/accessRules/{id}", "GET /api/workers"
	for who, want := range map[string][4]string{ // of post, own, mine, workers
		"service":         {"", "", "", "invalid_token"},
		"service-by-role": {"invalid_token", "invalid_token", "invalid_token", "invalid_token"},
		"other-client":    {"invalid_token", "invalid_token", "invalid_token", "invalid_token"},
		"no-client":       {"invalid_token", "invalid_token", "invalid_token", "invalid_token"},
		"prefixed":        {"invalid_token", "invalid_token", "invalid_token", "invalid_token"},
		"person":          {"invalid_token", "invalid_token", "invalid_token", "invalid_token"},
		"root":            {"invalid_token", "invalid_token", "invalid_token", "invalid_token"},
		"stranger":        {"denied", "invalid_token", "invalid_token", "invalid_token"},
	} {
		for i, key := range []string{post, own, mine, workers} {
			guard, err := gate.Guard(key)
			if err != nil {
				t.Fatal(err)
			}
			req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)
			req.Header.Set("Authorization", "Bearer "+who)
			caller, err := guard(req)
			if got := codeOf(err); got != want[i] {
				t.Errorf("%s at %s: %q, want %q", who, key, got, want[i])
			}
			if err == nil && (caller.Admin() || caller.CreatorOnly) {
				t.Errorf("%s at %s: %+v", who, key, caller.Pass)
			}
		}
	}
}

func codeOf(err error) string {
	if err == nil {
		return ""
	}
	return fault.From(err).Code
}

// The audit log names the stored user behind a call, and the token that was used.
func TestActorsNameUsersAndTokens(t *testing.T) {
	all := people{"root": {Issuer: "https://issuer.test", Subject: "id-of-root", Username: "root", Audience: []string{"muster", "muster-admin"}}}
	maps.Copy(all, everybody)
	guard, err := gateOf(t, all, "muster-admin", stored).Guard("GET /api/me")
	if err != nil {
		t.Fatal(err)
	}
	for who, user := range map[string]string{"root": access.ID{7, 2}.String(), "admin": ""} {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil)
		req.Header.Set("Authorization", "Bearer "+who)
		caller, err := guard(req)
		actor := caller.Actor
		if err != nil || actor.User != user || actor.Token != "" {
			t.Errorf("%s: %q %q %v", who, actor.User, actor.Token, err)
		}
	}
}

// A change that the gate refuses is told once, by the names of the audit log; what
// changes nothing, what is only tried out and who is nobody are not.
func TestRefusedChangesAreTold(t *testing.T) {
	all := people{"bob": {Issuer: "https://issuer.test", Subject: "b", Username: "bob", Audience: []string{"muster", "muster-admin"}}}
	maps.Copy(all, everybody)
	gate := gateOf(t, all, "muster-admin", stored)
	var told []string
	gate.NoteRefusals(func(a registry.Actor, action, resource, code string) {
		told = append(told, strings.Join([]string{a.Username, a.Address, action, resource, code}, " "))
	})
	const worker = "11111111-1111-4111-8111-111111111111"
	for _, c := range []struct{ key, who, query, want string }{
		{"DELETE /api/workers/{uuid}", "bob", "", "bob 192.0.2.7 worker.deleted worker:" + worker + " not_found"},
		{"POST /api/workers", "bob", "", "bob 192.0.2.7 worker.registered worker denied"},
		{"PUT /api/graph-model", "bob", "", "bob 192.0.2.7 model.replaced model denied"},
		{"POST /api/workers", "bob", "?dryRun=true", ""}, {"POST /api/workers", "bob", "?dryRun=false", "bob 192.0.2.7 worker.registered worker denied"},
		{"GET /api/workers/{uuid}", "bob", "", ""}, {"POST /api/graph-access-rule/accessRules:check", "bob", "", ""},
		{"DELETE /api/workers/{uuid}", "mallory", "", ""}, {"DELETE /api/workers/{uuid}", "alice", "", ""}, {"POST /api/admin/groups", "admin", "", ""},
	} {
		told = nil
		guard, err := gate.Guard(c.key)
		if err != nil {
			t.Fatal(err)
		}
		req := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/"+c.query, nil)
		req.RemoteAddr = "192.0.2.7:4711"
		req.SetPathValue("uuid", worker)
		req.Header.Set("Authorization", "Bearer "+c.who)
		caller, err := guard(req)
		if got := strings.Join(told, "; "); got != c.want {
			t.Errorf("%s by %s: told %q, want %q", c.key, c.who, got, c.want)
		}
		if err != nil && caller.Username != "" {
			t.Errorf("%s by %s: the refusal names %s", c.key, c.who, caller.Username)
		}
	}
}
