package cli

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/gateway/agnes/agnestest"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

// migrated makes a store and returns its flags.
func migrated(t *testing.T) (path string, flags []string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "muster.db")
	flags = []string{"--store", "duckdb:" + path}
	run(t, nil, append([]string{"migrate", "up"}, flags...)...).want(t, ExitOK)
	return path, flags
}

// asked runs a command line on a terminal whose user answers.
func asked(t *testing.T, answer string, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Run(t.Context(), Process{Args: args, In: strings.NewReader(answer), Out: &out, Err: &errs, Asks: true})
	return result{code, out.String(), errs.String()}
}

func TestBreakGlass(t *testing.T) {
	path, store := migrated(t)
	grant := append([]string{"admin", "break-glass", "grant-admin", "Alice@example.org"}, store...)
	// Nobody is made an administrator by accident.
	run(t, nil, grant...).want(t, ExitUsage, "give --yes")
	for _, answer := range []string{"n\n", "", "maybe\n"} {
		asked(t, answer, grant...).want(t, ExitFailed, "nothing was changed", "duckdb:"+path)
	}
	asked(t, "yes\n", grant...).want(t, ExitOK, "Alice@example.org is an administrator from the first login")
	var said struct {
		Already bool
		User    struct{ ID, Email string }
	}
	r := run(t, nil, append(grant, "--yes", "-o", "json")...)
	r.want(t, ExitOK)
	if err := json.Unmarshal([]byte(r.out), &said); err != nil || !said.Already || said.User.Email != "Alice@example.org" || said.User.ID == "" {
		t.Errorf("%+v %v", said, err)
	}
	run(t, nil, append(grant, "-y")...).want(t, ExitOK, "is an administrator already")
	run(t, nil, append([]string{"admin", "audit", "verify"}, store...)...).want(t, ExitOK, "ok:")

	held, err := duckdb.Open(t.Context(), path, duckdb.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	run(t, nil, append(grant, "--yes")...).want(t, ExitUnavailable, "store_locked", "held by process", "end the gateway that has it")
	if err := held.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	run(t, nil, "admin", "break-glass", "grant-admin", "alice@example.org", "--yes", "--store", "duckdb:"+path+".missing").
		want(t, ExitNotFound, "there is no store", "muster migrate up")
	run(t, nil, append([]string{"admin", "break-glass", "grant-admin", "alice", "--yes"}, store...)...).want(t, ExitFailed, "bad_email")
	run(t, nil, "admin", "break-glass").want(t, ExitUsage)
	run(t, nil, "admin", "break-glass", "grant-admin").want(t, ExitUsage)
}

func TestImportAgnes(t *testing.T) {
	_, store := migrated(t)
	path := agnestest.File(t, 13)
	imports := append([]string{"admin", "import-agnes", path}, store...)
	run(t, nil, append(imports, "--dry-run")...).want(t, ExitOK, "WOULD BE BROUGHT", "no e-mail address")
	run(t, nil, imports...).want(t, ExitOK, "BROUGHT", "membership", "LEFT OUT", "public table", "who is granted its dataset", "u-nameless")
	var said struct {
		DryRun  bool `json:"dry_run"`
		Schema  int
		Brought []struct {
			Kind                   string
			Read, Brought, Present int
		}
		LeftOut []struct {
			Kind, Reason string
			Count        int
			Examples     []string
		} `json:"left_out"`
	}
	r := run(t, nil, append(imports, "-o", "json")...)
	r.want(t, ExitOK)
	if err := json.Unmarshal([]byte(r.out), &said); err != nil || said.DryRun || said.Schema != 13 || len(said.Brought) != 5 || len(said.LeftOut) == 0 {
		t.Fatalf("%+v %v", said, err)
	}
	for _, b := range said.Brought {
		if b.Brought != 0 || b.Present == 0 {
			t.Errorf("the second time: %+v", b)
		}
	}
	run(t, nil, append([]string{"admin", "import-agnes", agnestest.File(t, 12)}, store...)...).want(t, ExitFailed, "schema v12", "v13 and v14")
	run(t, nil, append([]string{"admin", "import-agnes", path + ".missing"}, store...)...).want(t, ExitFailed, "does not exist")
	run(t, nil, "admin", "import-agnes").want(t, ExitUsage)
}
