package agnes_test

import (
	"database/sql"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"
	"go.uber.org/goleak"

	"github.com/muster-fleet/muster/gateway/agnes"
	"github.com/muster-fleet/muster/gateway/agnes/agnestest"
	"github.com/muster-fleet/muster/proto/fault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestRead(t *testing.T) {
	for version, orphans := range map[int]int{13: 1, 14: 0} {
		path := agnestest.File(t, version)
		before, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		a, err := agnes.Read(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		if a.Schema != version || len(a.Users) != 6 || len(a.Groups) != 4 || len(a.Members) != 9+orphans || len(a.Grants) != 6+orphans {
			t.Errorf("v%d: schema %d, %d users, %d groups, %d members, %d grants", version, a.Schema, len(a.Users), len(a.Groups), len(a.Members), len(a.Grants))
		}
		if want := map[string]int64{"personal_access_tokens": 1, "audit_log": 0}; !maps.Equal(a.Others, want) || a.Passwords != 1 {
			t.Errorf("v%d: %v, %d passwords", version, a.Others, a.Passwords)
		}
		for _, u := range a.Users {
			if u.ID == "u-left" && (u.Active || u.DeactivatedBy != "u-alice" || !u.DeactivatedAt.Equal(time.Date(2026, 2, 1, 8, 0, 0, 0, time.UTC))) {
				t.Errorf("%+v", u)
			}
			if u.ID == "u-alice" && (!u.Active || u.Email != "Alice@example.org" || u.Name != "Alice" || u.CreatedAt.IsZero() || !u.DeactivatedAt.IsZero()) {
				t.Errorf("%+v", u)
			}
		}
		after, err := os.ReadFile(path)
		if err != nil || string(after) != string(before) {
			t.Errorf("v%d: the file was changed: %v", version, err)
		}
		if files, err := os.ReadDir(filepath.Dir(path)); err != nil || len(files) != 1 {
			t.Errorf("v%d: files were made beside it: %v %v", version, files, err)
		}
	}
}

// refuses demands an error of the code bad_archive that says these words.
func refuses(t *testing.T, path string, words ...string) {
	t.Helper()
	a, err := agnes.Read(t.Context(), path)
	if a != nil || !fault.Is(err, "bad_archive") {
		t.Errorf("%v: %+v %v", words, a, err)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("%q is not in %v", word, err)
		}
	}
}

func TestOtherFilesAreRefused(t *testing.T) {
	refuses(t, agnestest.File(t, 12), "schema v12", "v13 and v14")
	refuses(t, agnestest.File(t, 15), "schema v15", "its own program")
	refuses(t, agnestest.Make(t, "CREATE TABLE x (y INTEGER)"), "schema_version")
	refuses(t, agnestest.Make(t, "CREATE TABLE schema_version (version INTEGER)", "INSERT INTO schema_version VALUES (14)",
		"CREATE TABLE users (id VARCHAR, email VARCHAR)"), "users lacks the column name", "there is no table user_groups")
	refuses(t, filepath.Join(t.TempDir(), "missing"), "does not exist")
	refuses(t, t.TempDir(), "no regular file")
	text := filepath.Join(t.TempDir(), "text")
	if err := os.WriteFile(text, []byte("no database at all"), 0o600); err != nil {
		t.Fatal(err)
	}
	refuses(t, text, "no DuckDB file")
	refuses(t, filepath.Join(t.TempDir(), "a?b"), "in its path")
	broken := agnestest.File(t, 14)
	if err := os.Truncate(broken, 5000); err != nil {
		t.Fatal(err)
	}
	refuses(t, broken)
}

// A file whose tables are views, over files of this machine or over anything, is
// refused, and columns that compute something reach nothing outside of the file.
func TestHostileFiles(t *testing.T) {
	secret := filepath.Join(t.TempDir(), "secret.csv")
	if err := os.WriteFile(secret, []byte("id,name\nhush,hush\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	read := "SELECT * FROM read_csv('" + secret + "')"
	refuses(t, agnestest.File(t, 13, "DROP TABLE user_groups",
		"CREATE VIEW user_groups AS SELECT *, '' AS description, false AS is_system, now()::TIMESTAMP AS created_at, '' AS created_by FROM ("+read+")"),
		"no table user_groups")
	refuses(t, agnestest.File(t, 14, "DROP TABLE table_registry", "CREATE VIEW table_registry AS "+read), "no table table_registry")
	// What is only counted is not looked at when it is a view.
	a, err := agnes.Read(t.Context(), agnestest.File(t, 13, "DROP TABLE audit_log", "CREATE VIEW audit_log AS "+read))
	if err != nil {
		t.Fatal(err)
	}
	if _, has := a.Others["audit_log"]; has {
		t.Errorf("a view was asked: %v", a.Others)
	}
	// A version told by a view over a file, and macros with the names of functions.
	_, err = agnes.Read(t.Context(), agnestest.File(t, 13, "DROP TABLE schema_version", "CREATE VIEW schema_version AS SELECT 13 AS version FROM ("+read+")"))
	if !fault.Is(err, "bad_archive") {
		t.Errorf("a view over a file was read: %v", err)
	}
	a, err = agnes.Read(t.Context(), agnestest.File(t, 13, "CREATE MACRO count() AS TABLE "+read, "CREATE MACRO lower(x) AS (SELECT name FROM read_csv('"+secret+"'))"))
	if err != nil || len(a.Users) != 6 {
		t.Errorf("%+v %v", a, err)
	}
}

// Wrong types and endless texts do no harm.
func TestOddColumns(t *testing.T) {
	refuses(t, agnestest.File(t, 13, "DROP TABLE resource_grants",
		"CREATE TABLE resource_grants (id VARCHAR, group_id VARCHAR, resource_type VARCHAR, resource_id VARCHAR, assigned_at VARCHAR, assigned_by VARCHAR)",
		"INSERT INTO resource_grants VALUES ('r', 'g', 't', 'i', 'no time at all', '')"), "resource_grants", "other types")
	a, err := agnes.Read(t.Context(), agnestest.File(t, 13, "UPDATE user_groups SET description = repeat('x', 1000000) WHERE name = 'Finance'"))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range a.Groups {
		if g.Name == "Finance" && len(g.Description) != agnes.MaxText+1 {
			t.Errorf("%d bytes", len(g.Description))
		}
	}
}

// What the other program has not yet written into its file is read as well.
func TestLogOfTheFileIsRead(t *testing.T) {
	path := agnestest.File(t, 14)
	connector, err := duckdb.NewConnector(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	for _, statement := range []string{
		"SET wal_autocheckpoint = '1TB'", "PRAGMA disable_checkpoint_on_shutdown",
		"INSERT INTO users (id, email) VALUES ('u-new', 'new@example.org')",
	} {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path + ".wal"); err != nil {
		t.Fatal(err)
	}
	a, err := agnes.Read(t.Context(), path)
	if err != nil || len(a.Users) != 7 {
		t.Errorf("%+v %v", a, err)
	}
}
