package admin_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/authn"
	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/gateway/authz"
	"github.com/muster-fleet/muster/gateway/edge/admin"
	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/workers/token"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const issuer = "https://keycloak.example.org/realms/muster"

// nobody answers inspections: no worker is registered here.
type nobody struct{}

func (nobody) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{}, errors.ErrUnsupported
}

// bench is the API over a real registry on a real store, with the real resolver
// and the real table of endpoints; only the verifying of logins is the test's:
// "alice" is a login of alice.
type bench struct {
	t      testing.TB
	svc    *registry.Service
	access *authz.Access
	server *httptest.Server
	client *http.Client
	limits admin.TokenLimits
}

// newBench starts one with the users admin, who is one, alice and bob, and what
// prepare is stored before the registry opens. It knows more resource types beside
// the standard ones.
func newBench(t testing.TB, prepare *access.Delta, limits admin.TokenLimits, more ...authz.Type) *bench {
	t.Helper()
	ctx, log := context.WithoutCancel(t.Context()), slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelWarn}))
	store, err := duckdb.Open(ctx, filepath.Join(t.TempDir(), "muster.db"), duckdb.Options{Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	if prepare != nil {
		if _, err := store.Write(ctx, func(ctx context.Context, tx registry.Tx) error { return tx.ApplyAccess(ctx, prepare) }); err != nil {
			t.Fatal(err)
		}
	}
	svc, err := registry.Open(ctx, store, registry.Options{Logger: log, Inspector: nobody{}})
	if err != nil {
		t.Fatal(errors.Join(err, store.Close(ctx)))
	}
	b := &bench{t: t, svc: svc, limits: limits, client: &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}}
	t.Cleanup(func() {
		if b.server != nil {
			b.server.Close()
		}
		if err := svc.Close(ctx); err != nil {
			t.Error(err)
		}
	})
	if err := svc.SeedAdmin(ctx, "admin@example.org"); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"admin", "alice", "bob"} {
		b.see(name, nil)
	}
	b.serve(log, more)
	return b
}

// see has a user log in, with groups of the identity provider.
func (b *bench) see(name string, groups []string) {
	b.t.Helper()
	err := b.svc.SeenUser(context.WithoutCancel(b.t.Context()), registry.Seen{
		Issuer: issuer, Subject: name, Username: name, Email: name + "@example.org", EmailVerified: true, Primary: true,
		Groups: groups, Admits: func(string) bool { return true }, IssuedAt: time.Now(),
	})
	if err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) serve(log *slog.Logger, more []authz.Type) {
	types, err := authz.NewTypes(append(authz.Standard(), more...)...)
	if err != nil {
		b.t.Fatal(err)
	}
	if b.access, err = authz.NewAccess(authz.Config{}, types, b.svc.Snapshot); err != nil {
		b.t.Fatal(err)
	}
	table, err := authz.NewTable(types, authz.Endpoints()...)
	if err != nil {
		b.t.Fatal(err)
	}
	b.server = httptest.NewServer(admin.Handler(admin.Deps{
		Registry: b.svc, Types: types, Gate: b.gate(table), Logger: log, Limits: b.limits,
		Directory: directory{"/eng/platform", "/eng/data", "/eng/data"}, BodyDeadline: 2 * time.Second,
	}))
}

// directory is an identity provider's.
type directory []string

func (d directory) Groups(context.Context) ([]string, error) {
	if len(d) == 0 {
		return nil, errors.ErrUnsupported
	}
	return d, nil
}

func (b *bench) gate(table *authz.Table) rest.Gate {
	return func(key string) (rest.Guard, error) {
		e := table.Endpoint(key)
		if e == nil {
			return nil, fmt.Errorf("the table has no %s", key)
		}
		return func(r *http.Request) (rest.Caller, error) {
			c, err := b.login(r.Header.Get("Authorization"))
			if err != nil {
				return rest.Caller{}, err
			}
			who, err := b.access.Who(c)
			if err != nil {
				return rest.Caller{}, err
			}
			pass, err := who.Require(e, r.PathValue)
			actor := registry.Actor{Issuer: c.Principal.Issuer, Subject: c.Principal.Subject, Username: c.Principal.Username, Address: "127.0.0.1"}
			if u := who.User(); u != nil {
				actor.User = u.ID.String()
			}
			if c.Personal != nil {
				actor.Token = c.Personal.ID.String()
			}
			refused := rest.Refusals(e, r.PathValue, r.URL.Query().Get("dryRun") == "true", actor, b.svc.AuditRefused)
			return rest.Caller{Actor: actor, Who: who, Pass: pass, Principal: c.Principal, Refused: refused}, err
		}, nil
	}
}

// login stands in for token verification, which is not under test here.
func (b *bench) login(given string) (authn.Caller, error) {
	if given == "" {
		return authn.Caller{}, fault.New(fault.Unauthenticated, "invalid_token", "no token")
	}
	if !pat.Is(given) {
		return authn.Caller{Principal: &token.Principal{Issuer: issuer, Subject: given, Username: given, IssuedAt: time.Now()}}, nil
	}
	shown, err := pat.Parse(given)
	if err != nil {
		return authn.Caller{}, fault.New(fault.Unauthenticated, "invalid_token", "it %v", err)
	}
	set := b.svc.Snapshot().Access
	t := set.TokenByDigest(shown.Digest())
	if t == nil || !t.RevokedAt.IsZero() {
		return authn.Caller{}, fault.New(fault.Unauthenticated, "invalid_token", "unknown or revoked")
	}
	u := set.User(t.User)
	return authn.Caller{Principal: &token.Principal{Issuer: u.Issuer, Subject: u.Subject, Username: u.Username}, Personal: t}, nil
}

type reply struct {
	status int
	header http.Header
	body   string
}

// as calls the API; headers come in pairs.
func (b *bench) as(who, method, path, body string, headers ...string) reply {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), method, b.server.URL+path, strings.NewReader(body))
	if err != nil {
		b.t.Fatal(err)
	}
	if who != "" {
		req.Header.Set("Authorization", who)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := b.client.Do(req)
	if err != nil {
		b.t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, string(answer)}
}

// do calls it as admin.
func (b *bench) do(method, path, body string, headers ...string) reply {
	b.t.Helper()
	return b.as("admin", method, admin.Root+path, body, headers...)
}

// want checks the status, and that each part is in the body.
func (r reply) want(t testing.TB, status int, parts ...string) reply {
	t.Helper()
	if r.status != status {
		t.Errorf("got %d %s, want %d", r.status, r.body, status)
	}
	for _, p := range parts {
		if !strings.Contains(r.body, p) {
			t.Errorf("%s is not in %s", p, r.body)
		}
	}
	if status >= http.StatusBadRequest && r.header.Get("Content-Type") != "application/problem+json" {
		t.Errorf("a refusal of type %s", r.header.Get("Content-Type"))
	}
	return r
}

// get is a member of the answer.
func (r reply) get(t testing.TB, member string) string {
	t.Helper()
	var all map[string]any
	if err := json.Unmarshal([]byte(r.body), &all); err != nil {
		t.Fatalf("%d %s: %v", r.status, r.body, err)
	}
	return fmt.Sprint(all[member])
}

// user is the id of a user.
func (b *bench) user(name string) string {
	b.t.Helper()
	u := b.svc.Snapshot().Access.UserOf(issuer, name)
	if u == nil {
		b.t.Fatalf("%s is not stored", name)
	}
	return u.ID.String()
}

// group makes a group and returns its id.
func (b *bench) group(name string) string {
	b.t.Helper()
	return b.do(http.MethodPost, "/groups", fmt.Sprintf(`{"name":%q}`, name)).want(b.t, http.StatusCreated).get(b.t, "id")
}

// system is the id of a system group.
func (b *bench) system(name string) string {
	b.t.Helper()
	return b.svc.Snapshot().Access.GroupByName(name).ID.String()
}
