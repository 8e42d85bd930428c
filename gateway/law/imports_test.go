package law_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// listed is what the laws need of a package from "go list -json".
type listed struct {
	ImportPath   string   `json:"ImportPath"`
	Dir          string   `json:"Dir"`
	Name         string   `json:"Name"`
	Imports      []string `json:"Imports"`
	TestImports  []string `json:"TestImports"`
	XTestImports []string `json:"XTestImports"`
	Standard     bool     `json:"Standard"`
	CgoFiles     []string `json:"CgoFiles"`
}

func (l listed) short() string { return strings.TrimPrefix(l.ImportPath, module) }

// root returns the top of the tree: the directory of go.work.
func root(t *testing.T) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for ; ; dir = filepath.Dir(dir) {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.work above the test's directory; run it inside the repository")
		}
	}
}

// list runs "go list" over the workspace, whatever GOWORK the test runs under.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	top := root(t)
	args = append([]string{"list", "-json=ImportPath,Dir,Name,Imports,TestImports,XTestImports,Standard,CgoFiles"}, args...)
	cmd := exec.CommandContext(t.Context(), "go", args...)
	cmd.Dir = top
	cmd.Env = append(os.Environ(), "GOWORK="+filepath.Join(top, "go.work"))
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	var pkgs []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := dec.Decode(&p)
		if errors.Is(err, io.EOF) {
			return pkgs
		}
		if err != nil {
			t.Fatalf("go list answered something that is not JSON: %v", err)
		}
		pkgs = append(pkgs, p)
	}
}

// listing is the workspace's packages, asked for once.
var listing []listed

func workspace(t *testing.T) []listed {
	t.Helper()
	if listing == nil {
		listing = list(t, "-e", "work")
	}
	if len(listing) == 0 {
		t.Fatal("go list found no package")
	}
	return listing
}

func TestEveryPackageHasARoom(t *testing.T) {
	for _, p := range workspace(t) {
		if _, ok := roomOf(p.short()); !ok {
			t.Errorf("%s is in no room: put it into the table of gateway/law/table_test.go and into ARCHITECTURE.md section 3", p.short())
		}
	}
}

func TestImportsGoDown(t *testing.T) {
	for _, p := range workspace(t) {
		from, ok := roomOf(p.short())
		if !ok {
			continue // TestEveryPackageHasARoom reports it
		}
		for _, imp := range p.Imports {
			if pkg, ours := strings.CutPrefix(imp, module); ours {
				if why := verdictOf(from, pkg); why != "" {
					t.Errorf("%s (L%d) imports %s, which %s", p.short(), from.layer, pkg, why)
				}
			}
		}
	}
}

// Tests may look sideways and up within their module, for they run real peers;
// they may not bring modules together that must not meet.
func TestTestsKeepModulesApart(t *testing.T) {
	for _, p := range workspace(t) {
		from := moduleOf(p.short())
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			pkg, ours := strings.CutPrefix(imp, module)
			if ours && from != "gateway" && moduleOf(pkg) != from && moduleOf(pkg) != "proto" {
				t.Errorf("a test of %s imports %s: %s and %s never meet below the gateway", p.short(), pkg, from, moduleOf(pkg))
			}
		}
	}
}

func TestLibrariesStayInTheirLeaves(t *testing.T) {
	for _, p := range workspace(t) {
		for _, imp := range p.Imports {
			for _, l := range leaves {
				if strings.HasPrefix(imp, l.prefix) && !inside(p.short(), l.rooms) {
					t.Errorf("%s imports %s: %s (allowed in %s)", p.short(), imp, l.why, strings.Join(l.rooms, ", "))
				}
			}
		}
	}
}

func TestGroundImportsOnlyProtobufAndGRPC(t *testing.T) {
	allowed := []string{"google.golang.org/protobuf/", "google.golang.org/grpc", "google.golang.org/genproto/googleapis/rpc/", module + "proto/"}
	for _, p := range workspace(t) {
		if moduleOf(p.short()) != "proto" {
			continue
		}
		for _, imp := range p.Imports {
			domain, _, _ := strings.Cut(imp, "/")
			ok := !strings.Contains(domain, ".") || slices.ContainsFunc(allowed, func(a string) bool { return strings.HasPrefix(imp, a) })
			if !ok {
				t.Errorf("%s imports %s: the ground stands on the standard library, protobuf and grpc", p.short(), imp)
			}
		}
	}
}

// DuckDB must not come back into what worker authors compile.
func TestProtoAndWorkersNeedNoCgo(t *testing.T) {
	for _, pattern := range []string{module + "proto/...", module + "workers/..."} {
		for _, p := range list(t, "-e", "-deps", pattern) {
			if !p.Standard && len(p.CgoFiles) > 0 {
				t.Errorf("%s pulls in %s, which needs cgo", pattern, p.ImportPath)
			}
		}
	}
}

func TestPackageNames(t *testing.T) {
	for _, p := range workspace(t) {
		if slices.Contains(bannedNames, path.Base(p.ImportPath)) || slices.Contains(bannedNames, p.Name) {
			t.Errorf("%s: the name tells nothing about what the package is", p.short())
		}
		// What tests of a package need may lie below it, in a package named so.
		depth, most := strings.Count(p.short(), "/")+1, 3
		if strings.HasSuffix(p.short(), "test") {
			most = 4
		}
		if depth > most && !strings.HasPrefix(p.short(), "proto/gen/") {
			t.Errorf("%s lies %d deep; module/package/subpackage is the most", p.short(), depth)
		}
	}
}

// The table itself must be sound, or it forbids nothing.
func TestTable(t *testing.T) {
	for _, r := range rooms {
		for _, other := range slices.Concat(r.also, r.never) {
			if _, ok := roomOf(other); !ok {
				t.Errorf("%s names %s, which is in no room", r.path, other)
			}
		}
	}
	cases := []struct {
		from, to string
		ok       bool
	}{
		{"gateway/fanout", "gateway/verdict", true},
		{"gateway/fanout", "workers/element", true},
		{"gateway/fanout", "registry", true},
		{"gateway/fanout", "registry/store/duckdb", false},
		{"gateway/edge", "registry/store/postgres", false},
		{"gateway/edge", "gateway/pipeline", true},
		{"gateway/pipeline", "gateway/edge", false},
		{"gateway/rules", "gateway/verdict", false},
		{"gateway/app", "registry/store/duckdb", true},
		{"gateway/app", "gateway/cli", false},
		{"gateway/cli", "gateway/app", true},
		{"registry", "workers/token", false},
		{"workers/worker", "registry", false},
		{"workers/worker", "proto/fault", true},
		{"proto/fault", "registry", false},
		{"proto/gen/muster/gateway/v1", "proto/gen/muster/worker/v1", true},
		{"registry/store/duckdb", "registry", true},
		{"registry", "registry/store/duckdb", false},
		{"gateway/authn", "gateway/authn/keycloak", false},
	}
	for _, c := range cases {
		from, _ := roomOf(c.from)
		if why := verdictOf(from, c.to); (why == "") != c.ok {
			t.Errorf("%s -> %s: got %q, want allowed = %v", c.from, c.to, why, c.ok)
		}
	}
}
