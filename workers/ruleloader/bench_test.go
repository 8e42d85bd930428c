package ruleloader

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
	"testing"
)

// BenchmarkLoad reads, groups and encodes 100,000 rows of a CSV file.
func BenchmarkLoad(b *testing.B) {
	const rows = 100_000
	var text strings.Builder
	text.WriteString("login,prop,dept\n")
	for i := range rows {
		j := i * 7919 % rows
		fmt.Fprintf(&text, "user%07d,%s,dept %d\n", j%20_000, []string{"Title", "Owner"}[j%2], j)
	}
	path := file(b, "permissions.csv", text.String())
	mapping := file(b, "mapping.yaml", strings.Replace(fmt.Sprintf(millionMapping, "csv: {file: "+path+"}"), "16MiB", "1MiB", 1))
	request := millionRequest()
	loader, err := New(mapping, slog.New(slog.DiscardHandler))
	if err != nil {
		b.Fatal(err)
	}
	b.SetBytes(int64(text.Len()))
	for b.Loop() {
		if r, err := loader.Preview(b.Context(), &request, io.Discard); err != nil || r.Rules != rows {
			b.Fatalf("%v %+v", err, r)
		}
	}
}
