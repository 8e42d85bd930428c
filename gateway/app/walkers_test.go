package app_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/authn/pat"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

// issuerOf starts an issuer that ends with the test.
func issuerOf(t *testing.T) *devissuer.Issuer {
	t.Helper()
	i, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0", Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = i.Close() })
	return i
}

// startOn serves a store to the issuer's people until the test ends.
func startOn(t *testing.T, issuer *devissuer.Issuer, store string, change func(*config.Config)) *dev {
	t.Helper()
	secrets := t.TempDir()
	if err := os.WriteFile(filepath.Join(secrets, "loader"), []byte(devissuer.ClientLoader), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := config.Default()
	cfg.HTTP.Addr, cfg.GRPC.Addr, cfg.Ops.Addr = "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0"
	cfg.Store = config.StoreURL("duckdb:" + store)
	cfg.Auth.Issuer, cfg.Auth.Audience, cfg.Auth.ManagementAudience = issuer.URL(), devissuer.Audience, devissuer.ManagementAudience
	cfg.Transformations.SecretsDir = secrets
	cfg.Workers.AllowedCIDRs = append(cfg.Workers.AllowedCIDRs, netip.MustParsePrefix("127.0.0.0/8"))
	cfg.Drain = config.Drain{Grace: 10 * time.Millisecond, Timeout: 5 * time.Second}
	if change != nil {
		change(&cfg)
	}
	ctx, stop := context.WithCancel(t.Context())
	d := &dev{issuer: issuer.Addr(), log: &lockedBuffer{}, stop: stop, ended: make(chan error, 1)}
	out, w := io.Pipe()
	go func() {
		err := app.Serve(ctx, cfg, "1.2.3-test", app.Streams{Out: w, Err: d.log})
		_ = w.CloseWithError(io.EOF)
		d.ended <- err
	}()
	t.Cleanup(func() { d.end(t) })
	d.readListening(t, out)
	return d
}

// crowd makes walkers: it stores who they are before the gateway starts, two hours
// ago, so that tokens can have ended since.
type crowd struct {
	t       *testing.T
	issuer  *devissuer.Issuer
	svc     *registry.Service
	walkers []*walker
}

// nobodyAsks is an inspector for when no worker is registered.
type nobodyAsks struct{}

func (nobodyAsks) Inspect(context.Context, string, registry.Transport) (registry.Info, error) {
	return registry.Info{}, fault.New(fault.Internal, "internal", "no worker is registered here")
}

const ago = -2 * time.Hour

// inStore opens a store for as long as do works on it.
func (c *crowd) inStore(path string, do func()) {
	c.t.Helper()
	ctx, log := context.WithoutCancel(c.t.Context()), slog.New(slog.DiscardHandler)
	store, err := duckdb.Open(ctx, path, duckdb.Options{Logger: log})
	if err != nil {
		c.t.Fatal(err)
	}
	c.svc, err = registry.Open(ctx, store, registry.Options{
		Logger: log, Inspector: nobodyAsks{}, Clock: func() time.Time { return time.Now().Add(ago) },
	})
	if err != nil {
		c.t.Fatal(err)
	}
	do()
	if err := c.svc.Close(ctx); err != nil {
		c.t.Fatal(err)
	}
}

func (c *crowd) must(err error) {
	c.t.Helper()
	if err != nil {
		c.t.Fatal(err)
	}
}

// subject is a person's at the issuer, made from the name.
func subject(name string) string {
	return uuid.NewSHA1(uuid.NameSpaceURL, []byte("urn:test:"+name)).String()
}

// user stores somebody, with memberships and, in a group of their own, grants.
func (c *crowd) user(name string, groups, grants []string) access.ID {
	c.t.Helper()
	ctx := c.t.Context()
	c.must(c.svc.SeenUser(ctx, registry.Seen{
		Issuer: c.issuer.URL(), Subject: subject(name), Username: name, Primary: true, IssuedAt: time.Now().Add(ago),
	}))
	id := c.svc.Snapshot().Access.UserOf(c.issuer.URL(), subject(name)).ID
	if len(grants) > 0 {
		g, err := c.svc.CreateGroup(ctx, registry.Muster(), access.Group{Name: "of " + name}, registry.Change{})
		c.must(err)
		groups = append(slices.Clone(groups), g.Name)
		for _, one := range grants {
			typ, resource := split(one)
			_, err := c.svc.CreateGrant(ctx, registry.Muster(), access.Grant{Group: g.ID, Type: typ, Resource: resource}, registry.Change{})
			c.must(err)
		}
	}
	for _, g := range groups {
		_, _, err := c.svc.AddMember(ctx, registry.Muster(), c.svc.Snapshot().Access.GroupByName(g).ID, id.String(), registry.Change{})
		c.must(err)
	}
	return id
}

func split(grant string) (typ, resource string) {
	for i := range grant {
		if grant[i] == ':' {
			return grant[:i], grant[i+1:]
		}
	}
	return grant, ""
}

// login is a token of the issuer's for somebody, with claims changed.
func (c *crowd) login(name string, claims map[string]any) string {
	c.t.Helper()
	all := map[string]any{"sub": subject(name), "preferred_username": name, "email": nil, "groups": nil}
	maps.Copy(all, claims)
	raw, err := c.issuer.Issue("alice", all)
	c.must(err)
	return raw
}

// personal stores a personal access token that ends in so long from now.
func (c *crowd) personal(owner access.ID, ends time.Duration, scopes ...string) (string, access.ID) {
	c.t.Helper()
	raw := pat.New()
	made, err := c.svc.CreateToken(c.t.Context(), registry.Muster(), registry.TokenInput{
		User: owner, Name: fmt.Sprint(scopes), Digest: raw.Digest(), Prefix: raw.Prefix(), Scopes: scopes, Expires: time.Now().Add(ends),
	}, registry.Change{})
	c.must(err)
	return raw.Reveal(), made.ID
}

func (c *crowd) add(w walker) { c.walkers = append(c.walkers, &w) }

// everySingleGrant is of each type and id that the table names, and of others of
// the same types.
func everySingleGrant() []string {
	return []string{
		"worker:" + restUUID, "worker:" + grpcUUID, "worker:*", "worker_type:ExternalGraphSecurity", "worker_type:RuleTransformation",
		"worker_type:*", "rule_step:nightly", "rule_step:other", "rule_step:*", "graph_rules:read", "graph_rules:write", "connector:jira",
		"connector:*", "dataset:jira.issues", "dataset:*", "explain:filter", "marketplace_plugin:main/a",
	}
}

// gather makes everybody who walks.
func gather(t *testing.T, issuer *devissuer.Issuer, store string) []*walker {
	t.Helper()
	c := &crowd{t: t, issuer: issuer}
	c.inStore(store, func() {
		c.logins()
		c.personals()
	})
	return c.walkers
}

func (c *crowd) logins() {
	const bad = "401 invalid_token"
	c.add(walker{name: "nobody", broken: bad})
	c.add(walker{name: "bad token", token: "x.y.z", broken: bad})
	c.add(walker{name: "expired", token: c.login("late", map[string]any{"exp": time.Now().Add(-time.Minute).Unix()}), broken: bad})
	c.add(walker{name: "another audience", token: c.login("lost", map[string]any{"aud": "elsewhere"}), broken: bad})
	gone := c.user("gone", []string{access.Admin}, []string{"worker:*"})
	c.user("root", []string{access.Admin}, nil)
	_, err := c.svc.DeactivateUser(c.t.Context(), registry.Muster(), gone, registry.Change{})
	c.must(err)
	c.add(walker{name: "deactivated", token: c.login("gone", map[string]any{"realm_access": roles("muster-admin")}), broken: "401 user_deactivated"})

	c.add(walker{name: "plain", token: c.login("plain", nil)})
	c.add(walker{name: "claims Admin", token: c.login("claims", map[string]any{
		"groups": []string{"Admin", "/Admin", "role:muster-admin"}, "realm_access": roles("Admin", "Muster-Admin"),
		"resource_access": map[string]any{"muster": roles("muster-admin")}, "scope": "muster-admin admin",
	})})
	c.add(walker{name: "admin by mapping", token: c.login("mapped", map[string]any{"realm_access": roles("muster-admin")}), admin: true})
	c.add(walker{name: "admin by membership", token: c.login("root", nil), admin: true})
	for _, g := range everySingleGrant() {
		c.user("with "+g, nil, []string{g})
		c.add(walker{name: g, token: c.login("with "+g, nil), grants: []string{g}})
	}
	c.services()
}

// services are those whose tokens lack the management audience.
func (c *crowd) services() {
	plain := func(more map[string]any) map[string]any {
		more["aud"] = devissuer.Audience
		return more
	}
	write := []string{"graph_rules:write"}
	c.user("service-account-loader", nil, write)
	c.user("service-account-idle", nil, nil)
	c.user("person", nil, write)
	c.add(walker{name: "plain audience", token: c.login("plain", plain(map[string]any{})), plain: true})
	c.add(walker{name: "plain audience, grant", token: c.login("person", plain(map[string]any{})), plain: true, grants: write})
	c.add(walker{name: "plain audience, admin", token: c.login("root", plain(map[string]any{})), plain: true, admin: true})
	c.add(walker{
		name: "service account, grant", plain: true, service: true, grants: write,
		token: c.login("service-account-loader", plain(map[string]any{"azp": "loader", "client_id": "loader"})),
	})
	c.add(walker{
		name: "service account", plain: true, service: true,
		token: c.login("service-account-idle", plain(map[string]any{"azp": "idle", "client_id": "idle"})),
	})
	c.add(walker{
		name: "service account by another client", plain: true, grants: write,
		token: c.login("service-account-loader", plain(map[string]any{"azp": "graph-service"})),
	})
}

func roles(names ...string) map[string]any { return map[string]any{"roles": names} }

func (c *crowd) personals() {
	add := func(name string, owner access.ID, admin bool, grants []string, scopes ...string) {
		raw, _ := c.personal(owner, time.Hour, scopes...)
		c.add(walker{name: "token of " + name + fmt.Sprint(scopes), token: raw, admin: admin, grants: grants, scopes: scopes})
	}
	root := c.svc.Snapshot().Access.UserOf(c.issuer.URL(), subject("root")).ID
	grants := []string{"worker:" + restUUID, "worker_type:*", "rule_step:*", "graph_rules:write", "explain:filter"}
	rich := c.user("rich", nil, grants)
	demoted := c.user("demoted", nil, nil)
	for _, scope := range []string{
		"read", "admin", "worker:" + restUUID, "worker:*", "rule_step:nightly", "rule_step:other", "graph_rules:read",
		"graph_rules:write", "worker_type:ExternalGraphSecurity", "worker_type:*", "explain:filter",
	} {
		add("an admin", root, true, nil, scope)
		add("one with grants", rich, false, grants, scope)
		add("one demoted", demoted, false, nil, scope)
	}
	add("one with grants", rich, false, grants, "worker:"+restUUID, "rule_step:nightly", "read")
	const bad = "401 invalid_token"
	raw, id := c.personal(root, time.Hour, "admin")
	c.must(c.svc.RevokeToken(c.t.Context(), registry.Muster(), id, registry.Change{}))
	c.add(walker{name: "revoked token", token: raw, broken: bad})
	raw, _ = c.personal(root, -time.Hour, "admin")
	c.add(walker{name: "expired token", token: raw, broken: bad})
	c.add(walker{name: "unknown token", token: pat.New().Reveal(), broken: bad})
	gone := c.user("gone later", []string{access.Admin}, nil)
	raw, _ = c.personal(gone, time.Hour, "admin")
	_, err := c.svc.DeactivateUser(c.t.Context(), registry.Muster(), gone, registry.Change{})
	c.must(err)
	c.add(walker{name: "token of one deactivated", token: raw, broken: bad})
}
