package postgres_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/postgres"
	"github.com/muster-fleet/muster/registry/store/postgres/pgtest"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

// makeFixture has TestMakeFixture write the fixture of the newest schema; to be
// done, and committed, before the next migration is added.
var makeFixture = flag.Int("make-fixture", 0, "write testdata/vN.sql.gz, the store that this code makes at the schema N, its newest")

func fixturePath(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("v%d.sql.gz", version))
}

// meta are lines of a dump that mean something to psql alone, and such as tell of
// the server that was dumped.
var meta = regexp.MustCompile(`(?m)^(\\.*|--.*|SET transaction_timeout.*)?\n`)

func TestMakeFixture(t *testing.T) {
	if *makeFixture == 0 {
		return // it is a tool
	}
	dsn := pgtest.Database(t)
	storetest.FillFixture(t, dsn, openAt)
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/pg_dump")
	if err != nil || len(found) == 0 {
		t.Fatal("no pg_dump", err)
	}
	dump := exec.Command(slices.Max(found), "--inserts", "--rows-per-insert=100", "--no-owner", "--no-privileges", dsn)
	data, err := dump.Output()
	if err != nil {
		t.Fatal(err)
	}
	var packed bytes.Buffer
	zip := gzip.NewWriter(&packed)
	_, err = zip.Write(meta.ReplaceAll(data, nil))
	if err := errors.Join(err, zip.Close(), os.WriteFile(fixturePath(*makeFixture), packed.Bytes(), 0o644)); err != nil {
		t.Fatal(err)
	}
}

// restored is a database with the fixture of a schema.
func restored(t *testing.T, version int) string {
	t.Helper()
	dsn := pgtest.Database(t)
	in, err := os.Open(fixturePath(version))
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(zip)
	if err := errors.Join(err, in.Close()); err != nil {
		t.Fatal(err)
	}
	conn, err := pgx.Connect(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	_, err = conn.PgConn().Exec(t.Context(), strings.TrimSpace(string(data))).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	if err := conn.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	return dsn
}

// TestUpgrade opens the stores that earlier releases made.
func TestUpgrade(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			storetest.Upgraded(t, restored(t, version), version, openAt)
		})
	}
}

// TestMigrationFailsAtAnyStatement begins with what earlier releases made, and
// with nothing.
func TestMigrationFailsAtAnyStatement(t *testing.T) {
	real, err := postgres.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	openWith := func(ctx context.Context, place string, migrations fs.FS) (registry.Store, error) {
		s, err := postgres.Open(ctx, place, postgres.Migrating(postgres.Options{Logger: quiet()}, migrations))
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	for version := 1; version <= 5; version++ {
		dsn := pgtest.Database(t)
		if version > 1 {
			dsn = restored(t, version-1)
		}
		n := storetest.StatementsFail(t, dsn, real, version, openWith)
		t.Logf("migration %d: %d statements", version, n)
		if version > 1 {
			storetest.Upgraded(t, dsn, version-1, openAt)
		}
	}
}
