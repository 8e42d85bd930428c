package cli

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry/store/duckdb"
)

func TestMigrate(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	store := []string{"--store", "duckdb:" + path}
	var said struct {
		OK         bool
		Pending    int
		Migrations []migrationJSON
	}
	status := func(environ []string, args ...string) {
		t.Helper()
		r := run(t, environ, append([]string{"migrate", "status", "-o", "json"}, args...)...)
		r.want(t, ExitOK)
		said.Migrations = nil
		if err := json.Unmarshal([]byte(r.out), &said); err != nil {
			t.Fatal(err)
		}
	}
	status(nil, store...)
	all := len(said.Migrations)
	if !said.OK || all < 4 || said.Pending != all || said.Migrations[0].State != "pending" || said.Migrations[0].Name != "workers" {
		t.Errorf("%+v", said)
	}
	if _, err := os.Stat(path); err == nil {
		t.Error("looking has made the file")
	}
	run(t, nil, append([]string{"migrate", "up"}, store...)...).want(t, ExitOK, "VERSION", "workers", "applied")
	// The store may as well come from the environment or a file, whatever else that lacks.
	status([]string{"MUSTER_STORE=duckdb:" + path, "MUSTER_LIMITS_MAXBODY=much"})
	if said.Pending != 0 || said.Migrations[all-1].State != "applied" || said.Migrations[all-1].Applied == nil {
		t.Errorf("%+v", said)
	}
	cfg := file(t, "config_version: 1\nstore: duckdb:"+path+"\n")
	run(t, nil, "migrate", "up", "--config", cfg).want(t, ExitOK, "nothing to do")
	run(t, nil, "migrate", "status", "--config", cfg).want(t, ExitOK, "applied")

	held, err := duckdb.Open(t.Context(), path, duckdb.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	for _, what := range []string{"status", "up"} {
		run(t, nil, append([]string{"migrate", what}, store...)...).want(t, ExitUnavailable, "store_locked", "end the gateway that has it")
	}
	if err := held.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestMigrateMistakes(t *testing.T) {
	for _, args := range [][]string{
		{"migrate"}, {"migrate", "down"}, {"migrate", "up", "extra"}, {"migrate", "status", "--store", "mysql://h/d"},
		{"migrate", "status", "--store", "postgres://u:hunter2@h/d"}, {"migrate", "status", "--config", "/does/not/exist"},
	} {
		r := run(t, nil, args...)
		r.want(t, ExitUsage)
		if strings.Contains(r.out+r.err, "hunter2") {
			t.Errorf("%v: the password is shown", args)
		}
	}
	run(t, nil, "migrate", "status", "--config", file(t, "config_version: 9\n")).want(t, ExitUsage, "newer Muster")
	run(t, []string{"MUSTER_STORE=mysql://h/d"}, "migrate", "status").want(t, ExitUsage)
	run(t, nil, "migrate", "status", "--store", "postgres://u@127.0.0.1:1/d").want(t, ExitUnavailable, "cannot be reached")
}
