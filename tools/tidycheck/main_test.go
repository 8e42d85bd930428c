package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tree writes files, given as path and text, and returns their directory.
func tree(t *testing.T, files map[string]string) string {
	t.Helper()
	top := t.TempDir()
	for name, text := range files {
		path := filepath.Join(top, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return top
}

func sound() map[string]string {
	return map[string]string{
		"go.work":         "go 1.26.8\n\nuse (\n\t./proto\n\t./registry\n\t./gateway\n)\n",
		"proto/go.mod":    "module " + prefix + "proto\n\ngo 1.26.8\n",
		"registry/go.mod": "module " + prefix + "registry\n\ngo 1.26.8\n\nrequire " + prefix + "proto v0.0.0\n\nreplace " + prefix + "proto => ../proto\n",
		"gateway/go.mod": "module " + prefix + "gateway\n\ngo 1.26.8\n\nrequire " + prefix + "registry v0.0.0\n\n" +
			"replace " + prefix + "registry => ../registry\n\nreplace " + prefix + "proto => ../proto\n",
		"tools/bench/go.mod": "module " + prefix + "tools/bench\n\ngo 1.26.8\n\nrequire " + prefix + "proto v0.0.0\n\nreplace " + prefix + "proto => ../../proto\n",
		"x/testdata/go.mod":  "module x\n",
	}
}

func TestSound(t *testing.T) {
	var out bytes.Buffer
	if err := run(tree(t, sound()), &out); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(out.String(), "4 modules") {
		t.Errorf("got %q", out.String())
	}
}

func TestFaults(t *testing.T) {
	const duckdb = "\nrequire github.com/duckdb/duckdb-go/v2 "
	cases := []struct {
		name   string
		change func(map[string]string)
		want   string
	}{
		{"transitive replace missing", func(f map[string]string) {
			f["gateway/go.mod"] = strings.Replace(f["gateway/go.mod"], "replace "+prefix+"proto => ../proto\n", "", 1)
		}, "gateway/go.mod lacks: replace " + prefix + "proto => ../proto"},
		{"replace elsewhere", func(f map[string]string) {
			f["registry/go.mod"] = strings.Replace(f["registry/go.mod"], "../proto", "../gateway", 1)
		}, "only siblings are replaced there"},
		{"foreign replace", func(f map[string]string) {
			f["proto/go.mod"] += "\nreplace example.test/x => ../x\n"
		}, "proto/go.mod replaces example.test/x"},
		{"another go line", func(f map[string]string) {
			f["proto/go.mod"] = strings.Replace(f["proto/go.mod"], "1.26.8", "1.25.0", 1)
		}, "proto/go.mod says go 1.25.0"},
		{"toolchain", func(f map[string]string) { f["proto/go.mod"] += "\ntoolchain go1.27.0\n" }, "toolchain line"},
		{"unknown module", func(f map[string]string) { f["extra/go.mod"] = "module extra\n" }, "extra/go.mod is neither"},
		{"two DuckDBs", func(f map[string]string) {
			f["proto/go.mod"] += duckdb + "v2.10504.0\n"
			f["registry/go.mod"] += duckdb + "v2.10505.0\n"
		}, "they would open the same files"},
		{"broken", func(f map[string]string) { f["proto/go.mod"] = "modul x\n" }, "unknown directive"},
		{"missing module", func(f map[string]string) { delete(f, "proto/go.mod") }, "no such file"},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			files := sound()
			c.change(files)
			err := run(tree(t, files), &bytes.Buffer{})
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestNoWorkspace(t *testing.T) {
	if err := run(t.TempDir(), &bytes.Buffer{}); err == nil {
		t.Error("no go.work, and yet no error")
	}
	if err := run(tree(t, map[string]string{"go.work": "use ./x\n"}), &bytes.Buffer{}); err == nil || !strings.Contains(err.Error(), "no go line") {
		t.Errorf("got %v", err)
	}
}
