package ruleloader

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"github.com/muster-fleet/muster/workers/worker"
	"github.com/muster-fleet/muster/workers/workertest"
)

// harness is a worker that loads by a mapping, and a sink that it posts to.
type harness struct {
	t    *testing.T
	dir  string
	url  string
	is   *workertest.Issuer
	sink *workertest.RuleSink
}

func newHarness(t *testing.T, mapping string) *harness {
	t.Helper()
	h := &harness{t: t, dir: t.TempDir()}
	var err error
	if h.is, err = workertest.NewIssuer(t.Context()); err != nil {
		t.Fatal(err)
	}
	if h.sink, err = workertest.NewRuleSink(t.Context(), "127.0.0.1:0"); err != nil {
		t.Fatal(err)
	}
	h.write("mapping.yaml", mapping)
	loader, err := New(filepath.Join(h.dir, "mapping.yaml"), quiet())
	if err != nil {
		t.Fatal(err)
	}
	w, err := worker.New(t.Context(), worker.Config{
		UUID: "5f0c5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", Version: "1", Transform: loader.Transform, Gateway: h.sink.URL(), Logger: quiet(),
		Auth: worker.Auth{Issuer: h.is.URL(), Audience: workertest.Audience},
	})
	if err != nil {
		t.Fatal(err)
	}
	s := httptest.NewServer(w.Handler())
	h.url = s.URL + worker.DefaultTransformPath
	t.Cleanup(func() {
		s.Close()
		w.Close()
		_ = h.sink.Close()
		_ = h.is.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return h
}

func (h *harness) write(name, text string) {
	h.t.Helper()
	if err := os.WriteFile(filepath.Join(h.dir, name), []byte(text), 0o600); err != nil {
		h.t.Fatal(err)
	}
}

// run starts a run and returns its status and body.
func (h *harness) run() (int, string) {
	h.t.Helper()
	body, err := json.Marshal(stepRequest())
	if err != nil {
		h.t.Fatal(err)
	}
	token, err := h.is.Token("service-account-step")
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.t.Context(), http.MethodPost, h.url, bytes.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	return resp.StatusCode, string(text)
}

// A permission that is withdrawn is gone after the next run; a source that breaks
// changes nothing, and the run says why.
func TestRunsReplaceEachOther(t *testing.T) {
	dsn := database(t)
	t.Setenv("LOADER_DSN", dsn)
	execute(t, dsn, "CREATE TABLE acl (login text, kind text)", "INSERT INTO acl VALUES ('alice', 'Document'), ('bob', 'Folder')")
	h := newHarness(t, `prefix: acl
sources:
  - name: file
    csv: {file: a.csv}
    user: {column: u}
    entity: Document
    condition: {property: Dept, value: {column: d}}
  - name: table
    postgres: {dsnEnv: LOADER_DSN, query: SELECT * FROM acl}
    user: {column: login}
    entity: {column: kind}
  - name: parquet
    parquet: {file: x.parquet}
    group: {column: team}
    entity: Folder
    onBadRow: skip
`)
	h.write("a.csv", "u,d\nalice,7\nbob,8\n")
	parquetBytes, err := os.ReadFile(parquetFile(t, sampleRows()))
	if err != nil {
		t.Fatal(err)
	}
	h.write("x.parquet", string(parquetBytes))
	status, body := h.run()
	first := h.sink.Rules()
	if status != http.StatusOK || len(first) != 5 || !strings.Contains(body, `"badRows":1`) || !strings.Contains(body, `"created":5`) {
		t.Fatalf("%d %s %v", status, body, first)
	}
	if status, _ := h.run(); status != http.StatusOK || !reflect.DeepEqual(first, h.sink.Rules()) {
		t.Errorf("the second run left other rules")
	}
	for name, c := range map[string]struct {
		breaks, mends func()
		says          string
	}{
		"file cut off":      {func() { h.write("a.csv", "u,d\nalice,7\nbo") }, func() { h.write("a.csv", "u,d\nalice,7\nbob,8\n") }, "line 3 has another number of fields"},
		"parquet cut off":   {func() { h.write("x.parquet", string(parquetBytes[:99])) }, func() { h.write("x.parquet", string(parquetBytes)) }, "the source parquet"},
		"table gone":        {func() { execute(t, dsn, "ALTER TABLE acl RENAME TO other") }, func() { execute(t, dsn, "ALTER TABLE other RENAME TO acl") }, "42P01"},
		"database gone":     {func() { t.Setenv("LOADER_DSN", "postgres://x@127.0.0.1:1/x") }, func() { t.Setenv("LOADER_DSN", dsn) }, "source_unavailable"},
		"table has a null":  {func() { execute(t, dsn, "INSERT INTO acl VALUES (NULL, 'Document')") }, func() { execute(t, dsn, "DELETE FROM acl WHERE login IS NULL") }, "table, row 3: it has no subject"},
		"mapping is broken": {func() { h.write("mapping.yaml.bak", ""); renames(t, h, "mapping.yaml", "m") }, func() { renames(t, h, "m", "mapping.yaml") }, "bad_mapping"},
	} {
		c.breaks()
		posts := h.sink.Posts()
		status, body := h.run()
		if status/100 == 2 || !strings.Contains(body, c.says) || !strings.Contains(body, `"description"`) {
			t.Errorf("%s: %d %s", name, status, body)
		}
		if h.sink.Posts() != posts || !reflect.DeepEqual(first, h.sink.Rules()) {
			t.Errorf("%s: something was posted", name)
		}
		c.mends()
	}
	execute(t, dsn, "DELETE FROM acl")
	h.write("a.csv", "u,d\nalice,7\n")
	if status, body := h.run(); status != http.StatusOK || len(h.sink.Rules()) != 2 || !strings.Contains(body, `"deleted":5`) {
		t.Errorf("%d %s %v", status, body, h.sink.Rules())
	}
	// The last permission may be withdrawn, too.
	h.write("a.csv", "u,d\n")
	h.write("x.parquet", string(must(os.ReadFile(parquetFile(t, nil)))))
	if status, body := h.run(); status != http.StatusOK || len(h.sink.Rules()) != 0 {
		t.Errorf("%d %s %v", status, body, h.sink.Rules())
	}
	if f := h.sink.Flaws(); len(f) > 0 {
		t.Error(f)
	}
}

func must(b []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return b
}

func renames(t *testing.T, h *harness, from, to string) {
	t.Helper()
	if err := os.Rename(filepath.Join(h.dir, from), filepath.Join(h.dir, to)); err != nil {
		t.Fatal(err)
	}
}
