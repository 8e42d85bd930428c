package law_test

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The budgets. A function may be as long as reasoned when its doc comment says
// why, in a sentence that begins with "Long because".
const (
	fileLines        = 400
	testFileLines    = 500
	funcLines        = 60
	reasonedLines    = 100
	testFuncLines    = 90
	interfaceMethods = 5
	reason           = "Long because"
)

// tracked returns the files that git knows or would know (neither ignored nor
// deleted), relative to the root; outside a git checkout, nothing.
func tracked(t *testing.T) []string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "git", "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	cmd.Dir = root(t)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("git ls-files: %v; these laws need a git checkout", err)
	}
	var files []string
	for name := range strings.SplitSeq(string(out), "\x00") {
		if name == "" {
			continue
		}
		if _, err := os.Stat(filepath.Join(cmd.Dir, name)); err == nil {
			files = append(files, name)
		}
	}
	return files
}

func generated(name string) bool {
	return strings.HasPrefix(name, "proto/gen/") || strings.HasSuffix(name, ".pb.go")
}

// goFile is one parsed source file.
type goFile struct {
	name  string
	test  bool
	lines int
	set   *token.FileSet
	ast   *ast.File
}

func goFiles(t *testing.T) []goFile {
	t.Helper()
	top := root(t)
	var files []goFile
	for _, name := range tracked(t) {
		if !strings.HasSuffix(name, ".go") || generated(name) {
			continue
		}
		src, err := os.ReadFile(filepath.Join(top, name))
		if err != nil {
			t.Fatal(err)
		}
		set := token.NewFileSet()
		parsed, err := parser.ParseFile(set, name, src, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%s does not parse: %v", name, err)
			continue
		}
		files = append(files, goFile{
			name: name,
			// Suites are packages of their own, named so.
			test:  strings.HasSuffix(name, "_test.go") || strings.HasSuffix(filepath.Dir(name), "test"),
			lines: bytes.Count(src, []byte("\n")), set: set, ast: parsed,
		})
	}
	if len(files) == 0 {
		t.Fatal("no Go file is tracked")
	}
	return files
}

func TestFileSizes(t *testing.T) {
	for _, f := range goFiles(t) {
		limit := fileLines
		if f.test {
			limit = testFileLines
		}
		if f.lines > limit {
			t.Errorf("%s has %d lines; %d is the most: split it by concept", f.name, f.lines, limit)
		}
	}
}

func TestFunctionSizes(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			fn, ok := d.(*ast.FuncDecl)
			if !ok || fn.Body == nil {
				continue
			}
			limit := funcLines
			switch {
			case f.test:
				limit = testFuncLines
			case strings.Contains(fn.Doc.Text(), reason):
				limit = reasonedLines
			}
			if n := f.set.Position(fn.End()).Line - f.set.Position(fn.Pos()).Line + 1; n > limit {
				t.Errorf("%s: %s has %d lines; %d is the most", f.set.Position(fn.Pos()), fn.Name.Name, n, limit)
			}
		}
	}
}

func TestNoInitFunctions(t *testing.T) {
	for _, f := range goFiles(t) {
		for _, d := range f.ast.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s: init runs behind the reader's back; construct it in gateway/app or in main", f.set.Position(fn.Pos()))
			}
		}
	}
}

func TestInterfaceSizes(t *testing.T) {
	for _, f := range goFiles(t) {
		ast.Inspect(f.ast, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			iface, ok := spec.Type.(*ast.InterfaceType)
			if !ok {
				return true
			}
			methods, embedded := 0, 0
			for _, m := range iface.Methods.List {
				if len(m.Names) > 0 {
					methods += len(m.Names)
				} else {
					embedded++
				}
			}
			if methods > interfaceMethods || methods+embedded == 0 {
				t.Errorf("%s: interface %s declares %d methods; 1 to %d, or roles composed of such",
					f.set.Position(spec.Pos()), spec.Name.Name, methods, interfaceMethods)
			}
			return true
		})
	}
}

func TestEveryPackageIsDocumented(t *testing.T) {
	documented, seen := map[string]bool{}, map[string]string{}
	for _, f := range goFiles(t) {
		if strings.HasSuffix(f.name, "_test.go") {
			continue
		}
		dir := filepath.Dir(f.name)
		seen[dir] = f.name
		if strings.TrimSpace(f.ast.Doc.Text()) != "" {
			documented[dir] = true
		}
	}
	for dir, file := range seen {
		if !documented[dir] {
			t.Errorf("%s has no package comment; write one in %s", dir, file)
		}
	}
}
