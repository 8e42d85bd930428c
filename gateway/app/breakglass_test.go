package app_test

import (
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/app"
	"github.com/muster-fleet/muster/gateway/authn/devissuer"
	"github.com/muster-fleet/muster/gateway/config"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
)

func silent() *slog.Logger { return slog.New(slog.DiscardHandler) }

// eachStore runs a test over both stores, neither of which is there yet.
func eachStore(t *testing.T, test func(t *testing.T, store string)) {
	t.Helper()
	t.Run("duckdb", func(t *testing.T) { test(t, "duckdb:"+filepath.Join(t.TempDir(), "muster.db")) })
	t.Run("postgres", func(t *testing.T) { test(t, pgtest.Start(t).Database(t)) })
}

// at is a configuration that names a store.
func at(store string) config.Config {
	cfg := config.Default()
	cfg.Store = config.StoreURL(store)
	return cfg
}

// The glass breaks while no gateway has the store, and not beside a running one.
func TestBreakGlass(t *testing.T) {
	issuer, err := devissuer.New(t.Context(), devissuer.Config{Addr: "127.0.0.1:0", Logger: silent()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = issuer.Close() })
	eachStore(t, func(t *testing.T, store string) {
		s := serving{Store: store, Issuer: issuer.URL(), Secrets: t.TempDir()}
		d, child := spawn(t, s, issuer)
		_, err := app.BreakGlass(t.Context(), at(store), "alice@example.org", silent())
		if !fault.Is(err, "store_locked") || !strings.Contains(err.Error(), strconv.Itoa(child.Process.Pid)) {
			t.Fatalf("beside a running gateway: %v", err)
		}
		if status, _ := bodyOf(t, d.http, "/api/health"); status != http.StatusOK {
			t.Errorf("the gateway suffered: %d", status)
		}
		if err := child.Process.Kill(); err != nil {
			t.Fatal(err)
		}
		_ = child.Wait() // it was killed
		var g app.Glass
		until(t, "the store is free", func() bool {
			g, err = app.BreakGlass(t.Context(), at(store), "Alice@example.org", silent())
			return !fault.Is(err, "store_locked")
		})
		if err != nil || g.Already || g.User.Email != "Alice@example.org" || !g.User.Active {
			t.Fatalf("%+v %v", g, err)
		}
		again, err := app.BreakGlass(t.Context(), at(store), "alice@EXAMPLE.org", silent())
		if err != nil || !again.Already || again.User.ID != g.User.ID {
			t.Errorf("%+v %v", again, err)
		}
		if _, err := app.BreakGlass(t.Context(), at(store), "nobody", silent()); !fault.Is(err, "bad_email") {
			t.Errorf("%v", err)
		}
		report, err := app.VerifyAudit(t.Context(), at(store), nil, nil, silent())
		if err != nil || !report.OK {
			t.Errorf("the log does not verify: %+v %v", report, err)
		}
		// A gateway starts over it and tells who did it.
		d, _ = spawn(t, s, issuer)
		_, body := d.mustCall(t, http.StatusOK, http.MethodGet, "/api/admin/audit?action=break_glass.*", d.token(t, "admin"), "")
		if n := strings.Count(body, `"action":"break_glass.grant_admin"`); n != 2 || !strings.Contains(body, fmt.Sprintf(`"subject":"os-user:%d"`, os.Getuid())) {
			t.Errorf("%d rows: %s", n, body)
		}
	})
}

// What an offline command does not touch: a store that is not there, one that is not
// up to date, and one whose audit log has another key.
func TestOfflineRefuses(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "missing.db")
	if _, err := app.BreakGlass(t.Context(), at("duckdb:"+missing), "alice@example.org", silent()); !fault.Is(err, "no_store") {
		t.Errorf("no store: %v", err)
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != 0 {
		t.Errorf("it has made %v: %v", files, err)
	}
	eachStore(t, func(t *testing.T, store string) {
		if path, embedded := strings.CutPrefix(store, "duckdb:"); embedded {
			if err := os.WriteFile(path, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := app.BreakGlass(t.Context(), at(store), "alice@example.org", silent()); !fault.Is(err, "store_schema") {
			t.Errorf("an empty store: %v", err)
		}
		if _, err := app.Migrate(t.Context(), at(store), silent()); err != nil {
			t.Fatal(err)
		}
		keyed := at(store)
		keyed.Audit.KeyFile = keyFile(t)
		if _, err := app.BreakGlass(t.Context(), keyed, "alice@example.org", silent()); err != nil {
			t.Fatal(err)
		}
		other := at(store)
		other.Audit.KeyFile = keyFile(t)
		for name, cfg := range map[string]config.Config{"another key": other, "none": at(store)} {
			if _, err := app.BreakGlass(t.Context(), cfg, "bob@example.org", silent()); !fault.Is(err, "unknown_key") {
				t.Errorf("%s: %v", name, err)
			}
		}
	})
}

func keyFile(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(name, []byte(audit.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

// Migrations can be told and applied without a start.
func TestMigrate(t *testing.T) {
	eachStore(t, func(t *testing.T, store string) {
		before, err := app.MigrationStatus(t.Context(), at(store), silent())
		if err != nil || len(before) < 4 || !before[0].Pending() || before[0].Name != "workers" {
			t.Fatalf("%+v %v", before, err)
		}
		applied, err := app.Migrate(t.Context(), at(store), silent())
		if err != nil || len(applied) != len(before) || applied[0].Pending() {
			t.Fatalf("%+v %v", applied, err)
		}
		after, err := app.MigrationStatus(t.Context(), at(store), silent())
		if err != nil || len(after) != len(before) || after[len(after)-1].Pending() || after[0].Problem != "" {
			t.Errorf("%+v %v", after, err)
		}
		if again, err := app.Migrate(t.Context(), at(store), silent()); err != nil || len(again) != 0 {
			t.Errorf("again: %+v %v", again, err)
		}
	})
}
