package ruleloader

import (
	"bytes"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/parquet-go/parquet-go"
)

type parquetRow struct {
	Login  string    `parquet:"login"`
	Team   *string   `parquet:"team"`
	Tags   []string  `parquet:"tags,list"`
	Raw    []int32   `parquet:"raw"`
	Level  int64     `parquet:"level"`
	Count  uint32    `parquet:"count"`
	Ratio  float64   `parquet:"ratio"`
	Active bool      `parquet:"active"`
	Kind   string    `parquet:"kind,enum,dict"`
	Since  time.Time `parquet:"since,timestamp"`
	Deep   struct {
		A, B string
	} `parquet:"deep"`
}

func parquetFile(t testing.TB, rows []parquetRow, options ...parquet.WriterOption) string {
	t.Helper()
	var buf bytes.Buffer
	w := parquet.NewGenericWriter[parquetRow](&buf, options...)
	if _, err := w.Write(rows); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return file(t, "x.parquet", buf.String())
}

func ptr(s string) *string { return &s }

func sampleRows() []parquetRow {
	return []parquetRow{
		{Login: "alice", Team: ptr("/staff"), Tags: []string{"x", "y"}, Raw: []int32{1, -2}, Level: -9007199254740993, Count: 4000000000, Ratio: 1e21, Active: true, Kind: "D"},
		{Login: "bob", Level: 7, Ratio: 0.1, Kind: "F"},
		{Login: "ü", Team: ptr(""), Tags: []string{"z"}, Ratio: 25e-8, Kind: "D"},
	}
}

func TestParquet(t *testing.T) {
	columns := []string{"kind", "login", "team", "tags", "raw", "level", "count", "ratio", "active"}
	want := []string{
		"1:D,alice,/staff,[x y],[1 -2],-9007199254740993,4000000000,1e+21,true",
		"2:F,bob,-,-,-,7,0,0.1,false", "3:D,ü,,[z],-,0,0,2.5e-7,false",
	}
	for name, options := range map[string][]parquet.WriterOption{
		"plain": nil, "row groups": {parquet.MaxRowsPerRowGroup(1)}, "pages": {parquet.PageBufferSize(16)},
		"zstd": {parquet.Compression(&parquet.Zstd)}, "snappy": {parquet.Compression(&parquet.Snappy)}, "v1": {parquet.DataPageVersion(1)},
	} {
		got, err := readAll(t, &parquetSource{file: parquetFile(t, sampleRows(), options...)}, columns...)
		if err != nil || strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s: %v\n%s", name, err, strings.Join(got, "\n"))
		}
	}
}

func TestParquetOfManyRows(t *testing.T) {
	rows := make([]parquetRow, 5000)
	for i := range rows {
		rows[i].Login = strings.Repeat("x", i%37)
		rows[i].Tags = make([]string, i%5)
		for j := range rows[i].Tags {
			rows[i].Tags[j] = rows[i].Login + string(rune('a'+j))
		}
	}
	s := &parquetSource{file: parquetFile(t, rows, parquet.PageBufferSize(2048), parquet.MaxRowsPerRowGroup(700))}
	n := 0
	err := s.read(t.Context(), []string{"tags", "login"}, func(at int64, cells []cell) error {
		r := rows[at-1]
		n++
		if cells[1].one != r.Login || strings.Join(cells[0].list, ",") != strings.Join(r.Tags, ",") {
			t.Fatalf("row %d: %+v, want %+v", at, cells, r)
		}
		return nil
	})
	if err != nil || n != len(rows) {
		t.Errorf("%v, %d rows", err, n)
	}
}

func TestParquetColumnsThatCannotBeUsed(t *testing.T) {
	path := parquetFile(t, sampleRows())
	for column, says := range map[string]string{"none": "there is no column none; there are: login, team", "deep": "is nested", "since": "has no one spelling"} {
		if _, err := readAll(t, &parquetSource{file: path}, column); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", column, err)
		}
	}
}

// A file that is cut off or damaged fails; it neither panics nor ends early.
func TestParquetDamaged(t *testing.T) {
	rows := make([]parquetRow, 300)
	for i := range rows {
		rows[i] = sampleRows()[i%3]
	}
	path := parquetFile(t, rows, parquet.PageBufferSize(512))
	good, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{0, 3, len(good) / 2, len(good) - 1} {
		_, err := readAll(t, &parquetSource{file: file(t, "cut.parquet", string(good[:n]))}, "login")
		if err == nil || !strings.Contains(err.Error(), "cut off") && !strings.Contains(err.Error(), "damaged") {
			t.Errorf("%d bytes: %v", n, err)
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 400 {
		bad := bytes.Clone(good)
		for range 1 + random.IntN(4) {
			bad[random.IntN(len(bad))] ^= byte(1 + random.IntN(255))
		}
		// Not every damage shows; none may panic, and rows never go missing silently.
		got, err := readAll(t, &parquetSource{file: file(t, "bad.parquet", string(bad))}, "login", "tags", "level")
		if err == nil && len(got) != len(rows) && !bytes.Equal(bad[len(bad)-600:], good[len(good)-600:]) {
			continue // the damage is in the footer's own count of rows
		}
		if err == nil && len(got) != len(rows) {
			t.Fatalf("%d rows, and no error", len(got))
		}
	}
}

func TestFloatsAreSpelledAsInJSON(t *testing.T) {
	for f, want := range map[float64]string{0: "0", 2500: "2500", 0.1: "0.1", -1.5: "-1.5", 1e-6: "0.000001", 1e-7: "1e-7", 1e20: "100000000000000000000", 1e21: "1e+21", 1.5e300: "1.5e+300"} {
		if got := floatText(f, 64); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
