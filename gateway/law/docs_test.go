package law_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var link = regexp.MustCompile(`\]\(([^)\s]+)\)`)

// Links between our own documents lead somewhere.
func TestLinks(t *testing.T) {
	top := root(t)
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".md") {
			continue
		}
		text, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range link.FindAllStringSubmatch(string(text), -1) {
			target, _, _ := strings.Cut(m[1], "#")
			if target == "" || strings.Contains(target, "://") {
				continue
			}
			if _, err := os.Stat(filepath.Join(top, filepath.Dir(name), target)); err != nil {
				t.Errorf("%s links to %s, which is not there", name, m[1])
			}
		}
	}
}

// A decision that the index does not name is one that nobody finds.
func TestEveryDecisionIsListed(t *testing.T) {
	dir := filepath.Join(root(t), "docs", "adr")
	index, err := os.ReadFile(filepath.Join(dir, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "[0-9]*.md"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%d decisions, %v", len(files), err)
	}
	for _, f := range files {
		if !strings.Contains(string(index), "("+filepath.Base(f)+")") {
			t.Errorf("docs/adr/README.md does not list %s", filepath.Base(f))
		}
	}
}

// The index of the documents names every how-to and reference.
func TestEveryDocumentIsListed(t *testing.T) {
	top := root(t)
	index, err := os.ReadFile(filepath.Join(top, "docs", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range tracked(t) {
		inner, ours := strings.CutPrefix(name, "docs/")
		if !ours || !strings.HasSuffix(name, ".md") || inner == "README.md" || strings.HasPrefix(inner, "adr/") {
			continue
		}
		if !strings.Contains(string(index), "("+inner+")") {
			t.Errorf("docs/README.md does not list %s", inner)
		}
	}
}
