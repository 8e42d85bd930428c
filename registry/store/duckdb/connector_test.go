package duckdb_test

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry/store/duckdb"
)

// A file that is opened anew is as closed to everything else as it was before: no
// other file is read or written, and no setting is changed.
func TestOpenedAnewAsBefore(t *testing.T) {
	dir := t.TempDir()
	s, err := duckdb.Open(t.Context(), filepath.Join(dir, "muster.db"), duckdb.Options{Logger: quiet()})
	if err != nil {
		t.Fatal(err)
	}
	before := duckdb.Instance(s)
	for round := range 3 {
		for statement, says := range map[string]string{
			"COPY (SELECT 1) TO " + "'" + filepath.Join(dir, "out.csv") + "'": "disabled",
			"ATTACH '" + filepath.Join(dir, "other.db") + "'":                 "disabled",
			"SET memory_limit = '10GiB'":                                      "locked",
			"SET enable_external_access = true":                               "locked",
		} {
			if err := duckdb.Exec(t.Context(), s, statement); err == nil || !strings.Contains(err.Error(), says) {
				t.Errorf("round %d: %s: %v", round, statement, err)
			}
		}
		if err := duckdb.Reopen(t.Context(), s); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckWritable(t.Context()); err != nil {
			t.Errorf("round %d: %v", round, err)
		}
		after := duckdb.Instance(s)
		if after == before {
			t.Errorf("round %d: it was not opened anew", round)
		}
		before = after
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
