package config_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/config"
)

// good is the least environment that a gateway starts from.
var good = []string{
	"MUSTER_AUTH_ISSUER=https://id.example.test/realms/muster",
	"MUSTER_AUTH_AUDIENCE=muster",
	"PATH=/usr/bin", "MUSTERED_BY=nobody",
}

func with(more ...string) []string { return append(append([]string(nil), good...), more...) }

func write(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func mustLoad(t *testing.T, file string, environ []string, flags ...config.FlagValue) *config.Loaded {
	t.Helper()
	loaded, err := config.Load(file, environ, flags)
	if err != nil {
		t.Fatal(err)
	}
	return loaded
}

// wantMistakes loads and demands exactly these mistakes, each given as a part
// of its line.
func wantMistakes(t *testing.T, file string, environ []string, flags []config.FlagValue, want ...string) {
	t.Helper()
	_, err := config.Load(file, environ, flags)
	var e *config.Error
	if !errors.As(err, &e) {
		t.Fatalf("err = %v, want mistakes", err)
	}
	if len(e.Mistakes) != len(want) {
		t.Errorf("%d mistakes, want %d:\n%v", len(e.Mistakes), len(want), err)
	}
	for i, m := range e.Mistakes {
		if i < len(want) && !strings.Contains(m.String(), want[i]) {
			t.Errorf("mistake %d = %q, want %q in it", i, m, want[i])
		}
	}
}

func TestDefaults(t *testing.T) {
	loaded := mustLoad(t, "", good)
	want := config.Default()
	want.Auth.Issuer, want.Auth.Audience = "https://id.example.test/realms/muster", "muster"
	if !reflect.DeepEqual(loaded.Config, want) {
		t.Errorf("got  %+v\nwant %+v", loaded.Config, want)
	}
	if len(loaded.Warnings) != 0 {
		t.Errorf("warnings: %q", loaded.Warnings)
	}
	if got := loaded.Config.Auth.Trusted(); len(got) != 1 || !got[0].MapRoles || got[0].Audience != "muster" {
		t.Errorf("trusted = %+v", got)
	}
}

func TestTheLaterSourceWins(t *testing.T) {
	file := write(t, "muster.yaml", `config_version: 1
http: {addr: ":1"}
grpc: {addr: ":1"}
ops:
  addr: ":1"
  pprof: true
limits:
  maxBody: 4194304
  inflightBytes: 1.5GiB
`)
	loaded := mustLoad(t, file, with("MUSTER_GRPC_ADDR=:2", "MUSTER_OPS_ADDR=:2"),
		config.FlagValue{Name: "--ops-addr", Key: "ops.addr", Value: ":3"})
	cfg := loaded.Config
	if cfg.HTTP.Addr != ":1" || cfg.GRPC.Addr != ":2" || cfg.Ops.Addr != ":3" || !cfg.Ops.Pprof {
		t.Errorf("addresses: %+v %+v %+v", cfg.HTTP, cfg.GRPC, cfg.Ops)
	}
	if cfg.Limits.MaxBody != 4<<20 || cfg.Limits.InflightBytes != 3<<29 {
		t.Errorf("sizes: %+v", cfg.Limits)
	}
	sources := map[string]string{}
	for _, s := range loaded.Settings {
		sources[s.Key] = s.Source
	}
	for key, want := range map[string]string{
		"http.addr": file + ":2", "grpc.addr": "MUSTER_GRPC_ADDR", "ops.addr": "--ops-addr",
		"limits.maxBody": file + ":8", "store": "default",
	} {
		if sources[key] != want {
			t.Errorf("%s is said to come from %q, want %q", key, sources[key], want)
		}
	}
}

func TestEveryNameHasAWorkingVariable(t *testing.T) {
	cert, key := keyPair(t)
	secret := write(t, "secret", "hunter2\n")
	values := map[string]string{
		"http.addr": "127.0.0.1:0", "grpc.addr": "[::1]:0", "ops.addr": "localhost:9", "ops.pprof": "true",
		"store":       "postgres://u:pw@db.example.test:5432/muster?sslmode=disable",
		"uuid":        "{0B0F5D3E-7A66-4A4B-9D0F-6F5B0D9A3C11}",
		"auth.issuer": "http://127.0.0.1:8180/realms/muster", "auth.audience": "muster",
		"auth.discoveryURL": "http://keycloak:8080/realms/muster", "auth.caFile": cert,
		"auth.clientID": "muster", "auth.clientSecretFile": secret,
		"auth.managementAudience": "muster-admin", "auth.maxKeyAge": "1h", "auth.leeway": "0s",
		"tls.certFile": cert, "tls.keyFile": key,
		"workers.caFile": cert, "workers.clientCertFile": cert, "workers.clientKeyFile": key,
		"workers.requireTLS": "true", "workers.allowedCIDRs": "127.0.0.0/8, ::1/128", "workers.probeInterval": "100ms",
		"limits.maxBody": "4MiB", "limits.maxTimeout": "2m", "limits.defaultTimeout": "3s",
		"limits.inflightBytes": "64MiB", "limits.requests": "64", "limits.principalShare": "40",
		"filter.minWorkers": "1", "filter.unknownMembers": "drop", "rules.enabled": "false",
		"drain.grace": "0s", "drain.timeout": "1s", "log.level": "debug", "log.format": "text",
		"transformations.secretsDir": t.TempDir(),
		"access.roleMapping":         `{"role:muster-admin":"Admin","group:/a.b":"writers"}`, "access.groupPattern": "/teams/.*",
		"access.idpFreshness": "1h", "access.tokens.maxAge": "720h", "access.tokens.allowUnlimited": "true",
		"access.marketplacePlugins": "main/a, main/b", "access.seedAdminEmail": "admin@example.org",
		"audit.keyFile": write(t, "keys", strings.Repeat("ab", 32)+"\n"), "audit.retention": "720h",
	}
	var environ []string
	for _, f := range config.Fields() {
		switch f.Key {
		case "config_version", "auth.issuers", "auth.clientSecret":
			continue // elsewhere
		}
		if _, ok := values[f.Key]; !ok {
			t.Errorf("%s is not tried", f.Key)
		}
		environ = append(environ, f.Env+"="+values[f.Key])
	}
	cfg := mustLoad(t, "", environ).Config
	if a := cfg.Access; len(a.RoleMapping) != 2 || a.RoleMapping["group:/a.b"] != "writers" || len(a.MarketplacePlugins) != 2 ||
		a.MarketplacePlugins[1] != "main/b" || a.SeedAdminEmail != "admin@example.org" || !a.Tokens.AllowUnlimited {
		t.Errorf("access = %+v", a)
	}
	if cfg.UUID != "0b0f5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11" {
		t.Errorf("uuid = %q", cfg.UUID)
	}
	if got := cfg.Workers.AllowedCIDRs; len(got) != 2 || got[0] != netip.MustParsePrefix("127.0.0.0/8") || got[1] != netip.MustParsePrefix("::1/128") {
		t.Errorf("allowedCIDRs = %v", got)
	}
	if cfg.Auth.ClientSecret.Reveal() != "hunter2" {
		t.Error("the client secret is not what the file holds")
	}
	if cfg.Workers.ProbeInterval != 100*time.Millisecond || cfg.Log.SlogLevel() >= 0 || !cfg.TLS.Enabled() || !cfg.Workers.RequireTLS {
		t.Errorf("cfg = %+v", cfg)
	}
}

func TestSecretsAreNeverShown(t *testing.T) {
	loaded := mustLoad(t, "", with("MUSTER_STORE=postgres://u:hunter2@db/m?sslpassword=hunter2",
		"MUSTER_AUTH_CLIENTID=muster", "MUSTER_AUTH_CLIENTSECRET=hunter2"))
	if got := loaded.Config.Store.Reveal(); !strings.Contains(got, "hunter2") {
		t.Fatalf("store = %q", got)
	}
	settings, err := json.Marshal(loaded.Settings)
	if err != nil {
		t.Fatal(err)
	}
	whole, err := json.Marshal(loaded.Config)
	if err != nil {
		t.Fatal(err)
	}
	for _, shown := range []string{
		string(settings), string(whole), fmt.Sprintf("%v %+v %#v", loaded.Config, loaded.Config, loaded.Config),
		fmt.Sprintf("%s %q %x %d", loaded.Config.Auth.ClientSecret, loaded.Config.Store, loaded.Config.Store, loaded.Config.Auth.ClientSecret),
	} {
		if strings.Contains(shown, "hunter2") || strings.Contains(shown, "68756e74657232") {
			t.Errorf("a secret shows: %s", shown)
		}
	}
	if !strings.Contains(string(settings), "postgres://u:(secret)@db/m") {
		t.Errorf("the store's address is not shown without its password: %s", settings)
	}
}

func TestSecretsFromFiles(t *testing.T) {
	store := write(t, "store", "postgres://u:hunter2@db/m\r\n")
	cfg := mustLoad(t, "", with("MUSTER_STORE_FILE="+store)).Config
	if cfg.Store.Reveal() != "postgres://u:hunter2@db/m" || !cfg.Store.Postgres() {
		t.Errorf("store = %q", cfg.Store.Reveal())
	}
	cfg = mustLoad(t, "", with("MUSTER_AUTH_CLIENTID=m", "MUSTER_AUTH_CLIENTSECRET_FILE="+write(t, "s", "x"))).Config
	if cfg.Auth.ClientSecret.Reveal() != "x" {
		t.Errorf("client secret = %q", cfg.Auth.ClientSecret.Reveal())
	}
	wantMistakes(t, "", with("MUSTER_STORE_FILE="+store, "MUSTER_STORE=duckdb:x"), nil, "set twice, by MUSTER_STORE as well")
	wantMistakes(t, "", with("MUSTER_STORE_FILE=/does/not/exist"), nil, "MUSTER_STORE_FILE: store cannot be read")
	wantMistakes(t, "", with("MUSTER_STORE_FILE="+write(t, "empty", "\n")), nil, "names an empty file")
	wantMistakes(t, "", with("MUSTER_AUTH_CLIENTID=m", "MUSTER_AUTH_CLIENTSECRET=y", "MUSTER_AUTH_CLIENTSECRETFILE="+store), nil,
		"is set beside auth.clientSecret")
}

func TestAPasswordIsRefusedOnTheCommandLine(t *testing.T) {
	for _, url := range []string{"postgres://u:hunter2@db/m", "postgres://db/m?password=hunter2", "postgresql://db/m?sslpassword=x"} {
		_, err := config.Load("", good, []config.FlagValue{{Name: "--store", Key: "store", Value: url}})
		if err == nil || !strings.Contains(err.Error(), "MUSTER_STORE_FILE") || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%v", err)
		}
	}
	cfg := mustLoad(t, "", good, config.FlagValue{Name: "--store", Key: "store", Value: "postgres://u@db/m"}).Config
	if !cfg.Store.Postgres() {
		t.Error("a URL without a password is not taken")
	}
}

func TestKubernetesServiceLinks(t *testing.T) {
	loaded := mustLoad(t, "", with(
		"MUSTER_SERVICE_HOST=10.1.2.3", "MUSTER_SERVICE_PORT=8080", "MUSTER_SERVICE_PORT_HTTP=8080",
		"MUSTER_PORT=tcp://10.1.2.3:8080", "MUSTER_PORT_8080_TCP=tcp://10.1.2.3:8080",
		"MUSTER_PORT_8080_TCP_PROTO=tcp", "MUSTER_PORT_8080_TCP_PORT=8080", "MUSTER_PORT_8080_TCP_ADDR=10.1.2.3",
		"MUSTER_OPS_SERVICE_HOST=10.1.2.3", "MUSTER_OPS_PORT=tcp://10.1.2.3:9090", "MUSTER_GRPC_PORT_8081_TCP=tcp://10.1.2.3:8081",
		"MUSTER_TOKEN=x", "MUSTER_URL=x", "MUSTER_TOKEN_FILE=x", "MUSTER_TEST_POSTGRES_DSN=x",
	))
	if len(loaded.Warnings) != 1 || strings.Count(loaded.Warnings[0], "MUSTER_") != 11 {
		t.Errorf("warnings: %q", loaded.Warnings)
	}
	wantMistakes(t, "", with("MUSTER_HTTP_PORT=8080"), nil, "MUSTER_HTTP_PORT: is not a known variable")
}
