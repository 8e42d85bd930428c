package duckdb_test

import (
	"compress/gzip"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/store/duckdb"
	"github.com/muster-fleet/muster/registry/store/storetest"
)

// makeFixture has TestMakeFixture write the fixture of the newest schema; to be
// done, and committed, before the next migration is added.
var makeFixture = flag.Int("make-fixture", 0, "write testdata/vN.db.gz, the store that this code makes at the schema N, its newest")

func fixturePath(version int) string {
	return filepath.Join("testdata", fmt.Sprintf("v%d.db.gz", version))
}

func TestMakeFixture(t *testing.T) {
	if *makeFixture == 0 {
		return // it is a tool
	}
	path := filepath.Join(t.TempDir(), "muster.db")
	storetest.FillFixture(t, path, openAt)
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	out, err := os.Create(fixturePath(*makeFixture))
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewWriterLevel(out, gzip.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, err = io.Copy(zip, in)
	if err := errors.Join(err, zip.Close(), out.Close(), in.Close()); err != nil {
		t.Fatal(err)
	}
}

// unpacked is the fixture of a schema as a file of its own.
func unpacked(t *testing.T, version int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "muster.db")
	in, err := os.Open(fixturePath(version))
	if err != nil {
		t.Fatal(err)
	}
	zip, err := gzip.NewReader(in)
	if err != nil {
		t.Fatal(err)
	}
	data, err := io.ReadAll(zip)
	if err := errors.Join(err, in.Close(), os.WriteFile(path, data, 0o600)); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestUpgrade opens the stores that earlier releases made.
func TestUpgrade(t *testing.T) {
	for version := 1; version <= 4; version++ {
		t.Run(fmt.Sprint("from ", version), func(t *testing.T) {
			path := unpacked(t, version)
			storetest.Upgraded(t, path, version, openAt)
			// What it was is beside it.
			aside := fmt.Sprintf("%s.before-v%d", path, version)
			storetest.Upgraded(t, aside, version, openAt)
		})
	}
}

// TestMigrationFailsAtAnyStatement begins with what earlier releases made, and
// with nothing.
func TestMigrationFailsAtAnyStatement(t *testing.T) {
	real, err := duckdb.Embedded()
	if err != nil {
		t.Fatal(err)
	}
	openWith := func(ctx context.Context, place string, migrations fs.FS) (registry.Store, error) {
		s, err := duckdb.Open(ctx, place, duckdb.Migrating(duckdb.Options{Logger: quiet()}, migrations))
		if err != nil {
			return nil, err
		}
		return s, nil
	}
	for version := 1; version <= 5; version++ {
		path := filepath.Join(t.TempDir(), "muster.db")
		if version > 1 {
			path = unpacked(t, version-1)
		}
		n := storetest.StatementsFail(t, path, real, version, openWith)
		t.Logf("migration %d: %d statements", version, n)
		if version > 1 {
			storetest.Upgraded(t, path, version-1, openAt)
		}
	}
}
