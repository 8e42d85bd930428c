package ruleloader

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func file(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// readAll gives a source's rows as "place:cell,cell".
func readAll(t testing.TB, s source, columns ...string) ([]string, error) {
	t.Helper()
	var rows []string
	err := s.read(t.Context(), columns, func(at int64, cells []cell) error {
		text := make([]string, len(cells))
		for i, c := range cells {
			switch {
			case !c.set:
				text[i] = "-"
			case c.list != nil:
				text[i] = fmt.Sprint(c.list)
			default:
				text[i] = c.one
			}
		}
		rows = append(rows, fmt.Sprintf("%d:%s", at, strings.Join(text, ",")))
		return nil
	})
	return rows, err
}

func TestCSV(t *testing.T) {
	for name, c := range map[string]struct {
		text string
		s    csvSource
		want string
		says string
	}{
		"plain":          {text: "a,b\n1,2\n,4\n", want: "2:2,1 3:4,-"},
		"only a head":    {text: "a,b\n", want: ""},
		"mark":           {text: "\ufeffa,b\n1,2\n", want: "2:2,1"},
		"line ends":      {text: "a,b\r\n1,2\r\n", want: "2:2,1"},
		"delimiter":      {text: "a;b\n1;2\n", s: csvSource{comma: ';'}, want: "2:2,1"},
		"lines in texts": {text: "a,b\n\"x\ny\",2\n3,4\n", want: "2:2,x\ny 4:4,3"},
		"loose end":      {text: "a,b\n1,2", s: csvSource{looseEnd: true}, want: "2:2,1"},
		"cut off":        {text: "a,b\n1,2", want: "2:2,1", says: "does not end with a line break"},
		"empty":          {text: "", says: "the file is empty"},
		"no column":      {text: "x,b\n", says: "there is no column a; there are: x, b"},
		"column twice":   {text: "a,b,a\n", says: "the column a is there twice"},
		"short line":     {text: "a,b\n1,2\n3\n", want: "2:2,1", says: "line 3 has another number of fields"},
		"open quote":     {text: "a,b\n1,2\n\"3,4\n", want: "2:2,1", says: "line 3: extraneous"},
		"stray quote":    {text: "a,b\n1\"1,2\n", says: "line 2: bare"},
		"no UTF-8":       {text: "a,b\n\xff,2\n", says: "line 2, column a: the text is not UTF-8"},
	} {
		t.Run(name, func(t *testing.T) {
			c.s.file = file(t, "x.csv", c.text)
			if c.s.comma == 0 {
				c.s.comma = ','
			}
			rows, err := readAll(t, &c.s, "b", "a")
			if got := strings.Join(rows, " "); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
			if (err == nil) != (c.says == "") || err != nil && !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := readAll(t, &csvSource{file: filepath.Join(t.TempDir(), "none"), comma: ','}, "a"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%v", err)
	}
}

// A file that is written to meanwhile is not trusted; one that is replaced is.
func TestCSVThatChanges(t *testing.T) {
	read := func(change func(path string)) error {
		path := file(t, "x.csv", "a\n1\n2\n")
		return (&csvSource{file: path, comma: ','}).read(t.Context(), []string{"a"}, func(at int64, _ []cell) error {
			if at == 2 {
				change(path)
			}
			return nil
		})
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := read(func(path string) { must(os.Truncate(path, 4)) }); err == nil || !strings.Contains(err.Error(), "was changed while") {
		t.Errorf("truncated: %v", err)
	}
	if err := read(func(path string) { must(os.Chtimes(path, time.Now(), time.Now().Add(time.Hour))) }); err == nil {
		t.Error("touched: taken")
	}
	if err := read(func(path string) { must(os.Rename(file(t, "y.csv", "a\n9\n"), path)) }); err != nil {
		t.Errorf("replaced: %v", err)
	}
}

func TestCSVEndsWithItsContext(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	rows := 0
	err := (&csvSource{file: file(t, "x.csv", "a\n"+strings.Repeat("1\n", 5000)), comma: ','}).read(ctx, []string{"a"}, func(int64, []cell) error {
		rows++
		stop()
		return nil
	})
	if !errors.Is(err, context.Canceled) || rows > 2000 {
		t.Errorf("%v after %d rows", err, rows)
	}
}

func FuzzCSV(f *testing.F) {
	for _, seed := range []string{"a,b\n1,2\n", "", "a\n", "\"a\"\n\"", "a,a\n", "\ufeffa\nx", "a\r\n\r\n1\r\n", "a\n\xff\n"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		last := int64(1)
		err := (&csvSource{file: file(t, "x.csv", text), comma: ','}).read(t.Context(), []string{"a"}, func(at int64, cells []cell) error {
			if at <= last || len(cells) != 1 || cells[0].set != (cells[0].one != "") {
				t.Fatalf("line %d after %d: %+v", at, last, cells)
			}
			last = at
			return nil
		})
		if err == nil && !strings.HasSuffix(text, "\n") {
			t.Fatal("a file that may have been cut off was taken")
		}
	})
}
