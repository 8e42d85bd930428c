package cli

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/workers/token"
)

// devIssuer starts a real development issuer.
func devIssuer(t *testing.T) *devissuer.Issuer {
	t.Helper()
	is, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := is.Close(); err != nil {
			t.Error(err)
		}
	})
	return is
}

// Whatever way the issuer is written, the token that is printed is one that
// verifies, and is of the person that was asked for.
func TestDevToken(t *testing.T) {
	is := devIssuer(t)
	v, err := token.NewVerifier(t.Context(), token.Config{Issuers: []token.Issuer{{Issuer: is.URL(), Audience: devissuer.Audience, MapRoles: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	for _, issuer := range []string{is.Addr(), "http://" + is.Addr(), "http://" + is.Addr() + "/", is.URL(), is.URL() + "/"} {
		r := run(t, nil, "dev", "token", "admin", "--issuer", issuer)
		r.want(t, ExitOK)
		p, err := v.Verify(t.Context(), strings.TrimSpace(r.out))
		if err != nil {
			t.Fatalf("%s: %v", issuer, err)
		}
		if p.Username != "admin" || !p.HasRealmRole(devissuer.RoleAdmin) || !p.HasAudience(devissuer.ManagementAudience) {
			t.Errorf("%s: %+v", issuer, p)
		}
	}
	r := run(t, nil, "dev", "token", devissuer.ClientGraph, "--issuer", is.URL(), "-o", "json")
	r.want(t, ExitOK)
	var doc struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal([]byte(r.out), &doc); err != nil {
		t.Fatal(err)
	}
	if p, err := v.Verify(t.Context(), doc.AccessToken); err != nil || p.Client != devissuer.ClientGraph {
		t.Errorf("%+v, %v", p, err)
	}
	loader := run(t, nil, "dev", "token", devissuer.ClientLoader, "--issuer", is.URL())
	if p, err := v.Verify(t.Context(), strings.TrimSpace(loader.out)); err != nil || p.Username != "service-account-rule-loader" {
		t.Errorf("%+v %v", p, err)
	}
}

func TestDevTokenErrors(t *testing.T) {
	is := devIssuer(t)
	run(t, nil, "dev", "token", "mallory", "--issuer", is.URL()).want(t, ExitUnauthenticated, "alice, bob, admin", is.Addr())
	for _, bad := range []string{"", "ftp://x", "http://", "http://u:p@x", "http://a b"} {
		run(t, nil, "dev", "token", "alice", "--issuer", bad).want(t, ExitUsage, "http://127.0.0.1:8180")
	}
	run(t, nil, "dev", "token", "alice", "--issuer", "127.0.0.1:1").want(t, ExitUnavailable, "start it with muster dev")
	run(t, nil, "dev", "token").want(t, ExitUsage)

	g := newGateway(t)
	g.on("POST /realms/muster/protocol/openid-connect/token", http.StatusOK, "<html>")
	run(t, nil, "dev", "token", "alice", "--issuer", g.server.URL).want(t, ExitFailed, "is no issuer")
	if got := g.last().body; got != "client_id=muster-cli&grant_type=password&password=alice&username=alice" {
		t.Errorf("asked %s", got)
	}
}

// What keeps dev from starting is said before anything is started.
func TestDevUsage(t *testing.T) {
	run(t, nil, "dev", "tokens").want(t, ExitUsage, `"tokens" is not a command of muster dev`)
	run(t, nil, "dev", "--issuer", "nonsense").want(t, ExitUsage, "--issuer")
	run(t, nil, "dev", "--data-dir", "").want(t, ExitUsage, "--data-dir is empty")
	run(t, nil, "dev", "--store", "duckdb:x").want(t, ExitUsage, "unknown flag: --store")
	run(t, []string{"MUSTER_NONSENSE=1"}, "dev", "--http", "nonsense").
		want(t, ExitUsage, "2 mistakes", "MUSTER_NONSENSE", "--http-addr: http.addr")
	run(t, []string{"MUSTER_AUTH_AUDIENCE=x", "MUSTER_STORE=duckdb:x"}, "dev", "--data-dir", "").
		want(t, ExitUsage, "MUSTER_AUTH_AUDIENCE is ignored", "MUSTER_STORE is ignored")
	run(t, nil, "dev", "--data-dir", t.TempDir(), "--issuer", "0.0.0.0:0").want(t, ExitFailed, "loopback")
}
