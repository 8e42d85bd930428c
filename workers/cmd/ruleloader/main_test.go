package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/workers/workertest"
)

const (
	permissions = "login,kind,columns,dept\nalice,Document,Title|Owner,r&d\nbob,Document,Title,r&d\nalice,Document,Created,r&d\ncarol,Folder,,r&d\n"
	mapping     = `prefix: acl
sources:
  - name: permissions
    csv: {file: permissions.csv}
    user: {column: login}
    entity: {column: kind}
    properties: {column: columns, separator: "|"}
    relationships: [CONTAINS]
    condition: {property: Department, value: {column: dept}}
`
	request = `{"users":["alice","bob"],"entities":[{"id":414,"title":"Document","properties":[{"id":1,"title":"Title"},
{"id":2,"title":"Owner"},{"id":3,"title":"Created"},{"id":4,"title":"Department"}]}],
"relationships":[{"id":415,"entityNameFrom":"Folder","entityNameTo":"Document","name":"c","alias":"CONTAINS"}]}`
)

func files(t *testing.T, contents map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range contents {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func nothing(string) string { return "" }

func TestCheckMapping(t *testing.T) {
	dir := files(t, map[string]string{"good.yaml": mapping, "bad.yaml": mapping + "retries: 3\n"})
	var out bytes.Buffer
	if err := run(t.Context(), []string{"check-mapping", dir + "/good.yaml"}, nothing, &out); err != nil || !strings.Contains(out.String(), "is good: 1 sources") {
		t.Errorf("%v %s", err, out.String())
	}
	err := run(t.Context(), []string{"check-mapping", dir + "/bad.yaml"}, nothing, io.Discard)
	if err == nil || !strings.Contains(err.Error(), `bad.yaml:10:1: a mapping has no key "retries"`) {
		t.Errorf("%v", err)
	}
	if err := run(t.Context(), []string{"-h"}, nothing, io.Discard); !errors.Is(err, flag.ErrHelp) {
		t.Errorf("%v", err)
	}
	for _, args := range [][]string{nil, {"check-mapping"}, {"preview"}, {"serve"}, {"-mapping", "x", "-timeout", "0s"}, {"-mapping", dir + "/none.yaml"},
		{"-mapping", dir + "/good.yaml"}, {"preview", "-request", dir + "/none.json", dir + "/good.yaml"}} {
		if err := run(t.Context(), args, nothing, io.Discard); err == nil || len(err.Error()) < 10 {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestPreview(t *testing.T) {
	dir := files(t, map[string]string{"mapping.yaml": mapping, "permissions.csv": permissions, "request.json": request})
	var out bytes.Buffer
	if err := run(t.Context(), []string{"preview", "-request", dir + "/request.json", dir + "/mapping.yaml"}, nothing, &out); err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(out.String()), "\n")
	if len(lines) != 2 {
		t.Fatalf("%s", out.String())
	}
	want := `"accessLevel":"view","active":true,"users":["alice"],"groups":[],"clients":[],"entities":[{"id":414,"properties":[1,2,3]}],` +
		`"relationships":[415],"propertyValueConditions":[{"PropertyId":4,"Value":"r\u0026d"}],"functions":[]}`
	if !strings.HasPrefix(lines[1], `{"name":"acl-alice-Document-`) || !strings.HasSuffix(lines[1], want) {
		t.Errorf("got  %s\nwant %s", lines[1], want)
	}
	// Without what a step sends, titles mean nothing.
	err := run(t.Context(), []string{"preview", dir + "/mapping.yaml"}, nothing, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "entities_needed") {
		t.Errorf("%v", err)
	}
}

// The command serves, conforms, and ends when it is told to.
func TestServes(t *testing.T) {
	is, err := workertest.NewIssuer(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer is.Close()
	sink, err := workertest.NewRuleSink(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer sink.Close()
	dir := files(t, map[string]string{"mapping.yaml": mapping, "permissions.csv": permissions})
	env := map[string]string{
		"MAPPING_FILE": dir + "/mapping.yaml", "WORKER_UUID": "5f0c5d3e-7a66-4a4b-9d0f-6f5b0d9a3c11", "GATEWAY_URL": sink.URL(),
		"ISSUER": is.URL(), "AUDIENCE": workertest.Audience, "HOST": "127.0.0.1", "PORT": "0",
	}
	r, w := io.Pipe()
	ctx, stop := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		err := run(ctx, nil, func(k string) string { return env[k] }, w)
		_ = w.Close()
		done <- err
	}()
	var line struct{ Listening struct{ HTTP, GRPC string } }
	if err := json.NewDecoder(r).Decode(&line); err != nil || line.Listening.HTTP == "" || line.Listening.GRPC != "" {
		t.Fatalf("%v %+v", err, line)
	}
	report := workertest.RunT(t, workertest.Options{
		URL: "http://" + line.Listening.HTTP + "/api/transform", Tokens: is, Sink: sink, Prefix: "acl-", Transform: json.RawMessage(request),
		Wait: 10 * time.Second,
	})
	if report.Level() != workertest.Laws || report.Count(workertest.Skip) > 0 {
		t.Errorf("level %s", report.Level())
	}
	stop()
	http.DefaultClient.CloseIdleConnections()
	select {
	case err := <-done:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("did not end")
	}
}
