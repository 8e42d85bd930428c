package ruleloader

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/client"
	"github.com/muster-fleet/muster/workers/worker"
)

const (
	// envMillion makes the test binary a process that loads once, and tells what it
	// took: the mapping file; envMillionSink is where it posts to.
	envMillion     = "RULELOADER_TEST_MAPPING"
	envMillionSink = "RULELOADER_TEST_SINK"

	million       = 1_000_000
	millionUsers  = 200_000
	millionMemory = 16 << 20
	// millionPeak bounds the process's peak resident memory: the sorter's budget, a
	// chunk on its way, the users that the step sent (10 MB of names), the Go runtime
	// and its collector's headroom. The rows alone are some 100 MB once sorted.
	millionPeak = 160 << 20
)

// loadMillion is the child: it loads and prints its peak memory in bytes.
func loadMillion() int {
	fail := func(err error) int {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	loader, err := New(os.Getenv(envMillion), slog.New(slog.DiscardHandler))
	if err != nil {
		return fail(err)
	}
	rules, err := client.NewRules(client.RulesConfig{
		Gateway: os.Getenv(envMillionSink), Token: func(context.Context) (string, error) { return "t", nil },
	})
	if err != nil {
		return fail(err)
	}
	t := &worker.Transformation{Rules: rules, TransformRequest: millionRequest()}
	if err := loader.Transform(context.Background(), t); err != nil {
		return fail(err)
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return fail(err)
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	kib, err := strconv.ParseInt(strings.Fields(after)[0], 10, 64)
	if err != nil {
		return fail(err)
	}
	fmt.Println(kib << 10)
	return 0
}

func millionRequest() worker.TransformRequest {
	r := worker.TransformRequest{Entities: []worker.TransformEntity{{
		ID: 414, Title: "Document", Properties: []worker.TransformProperty{{ID: 1, Title: "Title"}, {ID: 2, Title: "Owner"}, {ID: 3, Title: "Department"}},
	}}}
	for i := range millionUsers {
		r.Users = append(r.Users, fmt.Sprintf("user%07d", i))
	}
	return r
}

// millionSink counts what it is sent; a real gateway's store is no part of what is
// measured here.
type millionSink struct{ rules, largest, commits atomic.Int64 }

func (s *millionSink) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if strings.HasSuffix(r.URL.Path, ":commit") {
		s.commits.Add(1)
		w := bufio.NewWriter(rw)
		_, _ = io.WriteString(w, `{"created":[`)
		for i := range s.rules.Load() {
			if i > 0 {
				_ = w.WriteByte(',')
			}
			fmt.Fprintf(w, `"rule-%030d"`, i)
		}
		_, _ = io.WriteString(w, `],"ignored":[],"deleted":[]}`)
		_ = w.Flush()
		return
	}
	var body struct{ Rules []json.RawMessage }
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		rw.WriteHeader(http.StatusBadRequest)
		return
	}
	s.rules.Add(int64(len(body.Rules)))
	s.largest.Store(max(s.largest.Load(), r.ContentLength))
	_, _ = io.WriteString(rw, `{"created":[],"ignored":[],"deleted":[]}`)
}

const millionMapping = `prefix: acl
memory: 16MiB
tempDir: .
sources:
  - name: permissions
    %s
    user: {column: login}
    entity: Document
    properties: {column: prop}
    condition: {property: Department, value: {column: dept}}
`

// A million rows become rules in bounded memory, from a file and from a database.
func TestMillionRows(t *testing.T) {
	if testing.Short() {
		t.Skip("loads a million rows twice")
	}
	dir := t.TempDir()
	t.Run("csv", func(t *testing.T) {
		f, err := os.Create(filepath.Join(dir, "permissions.csv"))
		if err != nil {
			t.Fatal(err)
		}
		w := bufio.NewWriter(f)
		fmt.Fprintln(w, "login,prop,dept")
		for i := range million {
			// Far apart in the file, close in the rules: 500,000 rules of two rows each.
			j := i * 7919 % million
			fmt.Fprintf(w, "user%07d,%s,dept %d\n", j%500_000%millionUsers, []string{"Title", "Owner"}[j/500_000], j%500_000)
		}
		if err := w.Flush(); err != nil {
			t.Fatal(err)
		}
		if err := f.Close(); err != nil {
			t.Fatal(err)
		}
		loadAndMeasure(t, dir, "csv: {file: permissions.csv}", 500_000)
	})
	t.Run("postgres", func(t *testing.T) {
		dsn := database(t)
		execute(t, dsn, fmt.Sprintf(`CREATE TABLE p AS SELECT 'user' || lpad((n %% %d)::text, 7, '0') AS login,
			CASE WHEN n < 500000 THEN 'Title' ELSE 'Owner' END AS prop, 'dept ' || (n %% 100000) AS dept
			FROM generate_series(0, %d) n`, millionUsers, million-1))
		t.Setenv("RULELOADER_TEST_DSN", dsn)
		loadAndMeasure(t, dir, "postgres: {dsnEnv: RULELOADER_TEST_DSN, query: SELECT * FROM p}", 200_000)
	})
}

func loadAndMeasure(t *testing.T, dir, source string, rules int64) {
	t.Helper()
	mapping := filepath.Join(dir, "mapping.yaml")
	if err := os.WriteFile(mapping, fmt.Appendf(nil, millionMapping, source), 0o600); err != nil {
		t.Fatal(err)
	}
	sink := &millionSink{}
	s := httptest.NewServer(sink)
	defer s.Close()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), self)
	cmd.Env = append(os.Environ(), envMillion+"="+mapping, envMillionSink+"="+s.URL)
	cmd.Stderr = os.Stderr
	begun := time.Now()
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	peak, err := strconv.ParseInt(strings.TrimSpace(string(out)), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d rows into %d rules in %s, peak %d MiB, largest request %d bytes", million, sink.rules.Load(), time.Since(begun).Round(time.Millisecond), peak>>20, sink.largest.Load())
	if peak > millionPeak {
		t.Errorf("the process took %d bytes at its peak; the bound is %d", peak, int64(millionPeak))
	}
	if sink.rules.Load() != rules || sink.commits.Load() != 1 || sink.largest.Load() > client.DefaultRulesBytes {
		t.Errorf("%d rules of %d, %d commits, largest request %d", sink.rules.Load(), rules, sink.commits.Load(), sink.largest.Load())
	}
	left, err := filepath.Glob(filepath.Join(dir, "ruleloader-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("temporary files are left: %v %v", left, err)
	}
}
