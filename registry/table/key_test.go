package table_test

import (
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/registry/table"
)

func TestParseKey(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil, "  ": nil, "null": nil, "None": nil, "[]": nil, "[ ]": nil,
		"id": {"id"}, " Order ID ": {"Order ID"}, "id,line": {"id", "line"}, " id , line ": {"id", "line"}, "a b, c": {"a b", "c"},
		`["id"]`: {"id"}, ` ["id", "line"] `: {"id", "line"}, `["a,b", "c\"d", "e'f", "\u00fc"]`: {"a,b", `c"d`, "e'f", "ü"},
		`['id']`: {"id"}, `['id', 'line']`: {"id", "line"}, `["it's", 'a"b']`: {"it's", `a"b`}, `['it\'s', 'a\\b', 'c,d']`: {"it's", `a\b`, "c,d"},
		`['id',]`: {"id"}, `[ 'id' , 'line' ]`: {"id", "line"}, `["id" , 'x']`: {"id", "x"}, `[' id ']`: {"id"},
	} {
		got, err := table.ParseKey(text)
		if err != nil || !slices.Equal(got, want) || (got == nil) != (want == nil) {
			t.Errorf("%q: %q %v, not %q", text, got, err, want)
		}
	}
	for _, text := range []string{
		"[", "[id]", "['id'", "['id]", `["id"`, "['id' 'line']", "[,]", "['id',,'x']", "[1, 2]", `["id", null]`, `[["id"]]`, `['a\n']`, `['a\`, `['a']]`,
		strings.Repeat("x", 100_000),
	} {
		if got, err := table.ParseKey(text); err == nil {
			t.Errorf("%.30q is read as %q", text, got)
		}
	}
}

func TestCheckKey(t *testing.T) {
	many := make([]string, table.MaxColumns)
	for i := range many {
		many[i] = strings.Repeat("x", table.MaxColumn-5) + "_" + strconv.Itoa(i)
	}
	for _, key := range [][]string{nil, {}, {"id"}, {"Order ID", "ü, <&>"}, many} {
		if err := table.CheckKey(key); err != nil {
			t.Errorf("%q %v", key, err)
		}
	}
	for words, key := range map[string][]string{
		"column 2, which must not be empty": {"id", ""}, "column 1, which must not be empty": {" "}, "white space": {"id "},
		"column 3, which stands there twice": {"a", "b", "a"}, "64 columns": append(slices.Clone(many), "x"), "U+0000": {"a\x00"}, "UTF-8": {"\xff"},
		"128 bytes": {strings.Repeat("x", table.MaxColumn+1)}, "U+200B": {"a\u200bb"},
	} {
		if err := table.CheckKey(key); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%.60q: %v", key, err)
		}
	}
}
