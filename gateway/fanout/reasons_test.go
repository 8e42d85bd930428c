package fanout_test

import (
	"context"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/registry"
)

// series returns the reasons of a worker's series of failures, sorted.
func series(t *testing.T, reg *prometheus.Registry, worker registry.WorkerID) (reasons []string) {
	t.Helper()
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() != "muster_worker_failures_total" {
			continue
		}
		for _, m := range f.GetMetric() {
			if !hasLabel(m, string(worker)) {
				continue
			}
			for _, l := range m.GetLabel() {
				if l.GetName() == "reason" {
					reasons = append(reasons, l.GetValue())
				}
			}
		}
	}
	slices.Sort(reasons)
	return reasons
}

// written finds every reason that the sources of a package write down: what stands
// in a field reason or Reason or is assigned to one, is given to workerError first, or is a constant
// ReasonX.
func written(t *testing.T, dir string) (reasons []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") || filepath.Base(name) == "explain.go" {
			continue // why an element was taken away is nobody's failure
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			var value ast.Expr
			switch n := n.(type) {
			case *ast.KeyValueExpr:
				if key, ok := n.Key.(*ast.Ident); ok && strings.EqualFold(key.Name, "reason") {
					value = n.Value
				}
			case *ast.CallExpr:
				if f, ok := n.Fun.(*ast.Ident); ok && f.Name == "workerError" {
					value = n.Args[0]
				}
			case *ast.AssignStmt:
				for i, to := range n.Lhs {
					if field, ok := to.(*ast.SelectorExpr); ok && field.Sel.Name == "reason" && len(n.Rhs) == len(n.Lhs) {
						value = n.Rhs[i]
					}
				}
			case *ast.ValueSpec:
				if strings.HasPrefix(n.Names[0].Name, "Reason") && len(n.Values) == 1 {
					value = n.Values[0]
				}
			}
			if text, ok := value.(*ast.BasicLit); ok && text.Kind == token.STRING {
				word, err := strconv.Unquote(text.Value)
				if err != nil {
					t.Fatal(err)
				}
				reasons = append(reasons, word)
			}
			return true
		})
	}
	return reasons
}

// Every reason that a failure can have is a series from the beginning, at 0, and
// there is no other.
func TestSeriesOfFailuresBeginWithTheWorker(t *testing.T) {
	want := append(written(t, "."), written(t, "../verdict")...)
	want = slices.DeleteFunc(want, func(r string) bool {
		// Closure is nobody's failure; what is cancelled is not counted.
		return r == "cancelled" || strings.Contains(r, " ")
	})
	slices.Sort(want)
	want = slices.Compact(want)
	f, reg := faulttest.Fleet(t, fanout.Config{}, nil)
	one, two := faulttest.Worker(1, "http://127.0.0.1:1/"), faulttest.Worker(2, "grpc://127.0.0.1:1")
	f.Sync(faulttest.Snapshot(one, two))
	for _, w := range []*registry.Worker{one, two} {
		if got := series(t, reg, w.ID); !slices.Equal(got, want) {
			t.Errorf("%s: %q\nwant %q", w.Name, got, want)
		}
	}
	if n := counter(t, reg, "muster_worker_failures_total", ""); n != 0 {
		t.Errorf("%v failures before any call", n)
	}
	// They go with their worker and leave the other's.
	f.Sync(faulttest.Snapshot(two))
	if got := series(t, reg, one.ID); len(got) != 0 || len(series(t, reg, two.ID)) != len(want) {
		t.Errorf("of the one that is gone: %q; of the other: %q", got, series(t, reg, two.ID))
	}
}

// A call that outlives its worker's record and fails then brings no series back:
// nobody would ever remove it.
func TestFailureOfOneThatIsGoneIsNoSeries(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	url := "http://" + faulttest.Raw(t, func(c net.Conn) {
		if _, err := faulttest.Take(c); err != nil {
			return
		}
		close(asked)
		<-gone
		_, _ = io.WriteString(c, "HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n")
	})
	f, reg := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, url)
	w.Settings.Timeout = 30 * time.Second
	f.Sync(faulttest.Snapshot(w))
	done := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	go func() {
		_, err := f.Ask(ctx, call(faulttest.Nodes(t, 2), w))
		done <- err
	}()
	<-asked
	f.Sync(faulttest.Snapshot())
	close(gone)
	if e := faultOf(t, <-done); e.Code != "worker_error" {
		t.Errorf("%v", e)
	}
	if got := series(t, reg, w.ID); len(got) != 0 {
		t.Errorf("series of a worker that is gone: %q", got)
	}
}
