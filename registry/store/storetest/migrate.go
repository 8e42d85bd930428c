package storetest

import (
	"context"
	"io/fs"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// OpenWith opens the store at a place with other migrations than its own.
type OpenWith func(ctx context.Context, place string, migrations fs.FS) (registry.Store, error)

// comments of a migration, of which one line is goose's.
var comments = regexp.MustCompile(`(?m)^--.*\n`)

// StatementsFail fails the migration to a version at each of its statements in
// turn, at a place that has the version before; each time the store must stay as it
// was. How many statements there are is returned.
func StatementsFail(t testing.TB, place string, all fs.FS, version int, open OpenWith) int {
	t.Helper()
	names, err := fs.Glob(all, "*.sql")
	if err != nil {
		t.Fatal(err)
	}
	files := fstest.MapFS{}
	var broken string
	for i, name := range names[:version] {
		data, err := fs.ReadFile(all, name)
		if err != nil {
			t.Fatal(err)
		}
		files[name] = &fstest.MapFile{Data: data}
		if i == version-1 {
			broken = name
		}
	}
	statements := strings.SplitAfter(strings.TrimSpace(comments.ReplaceAllString(string(files[broken].Data), "")), ";\n")
	for n := range len(statements) + 1 {
		failing := "-- +goose Up\n" + strings.Join(statements[:n], "") + "\nSELECT * FROM not_there;\n"
		files[broken] = &fstest.MapFile{Data: []byte(failing)}
		s, err := open(t.Context(), place, files)
		if !fault.Is(err, "store_schema") {
			t.Fatalf("migration %d fails after statement %d: %v", version, n, err)
		}
		if s != nil {
			t.Fatal("opened all the same")
		}
	}
	return len(statements)
}
