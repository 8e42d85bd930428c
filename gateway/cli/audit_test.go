package cli

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
	"github.com/muster-fleet/muster/registry/store/duckdb"
)

func rowOf(number, username, action string) string {
	return `{"id":"x","number":` + number + `,"time":"2026-01-01T00:00:00.5Z","actor":{"subject":"s","issuer":"i","username":"` + username +
		`","token_id":"","user_id":""},"action":"` + action + `","resource":"worker:1","before":null,"after":{"n":1.50},"result":"ok",
"address":"192.0.2.7","request_id":"r","key_id":"k","mac":"00"}`
}

func TestAuditList(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/admin/audit?action=worker.%2A&actor=alice&limit=1000&since=2026-01-01T00%3A00%3A00Z", http.StatusOK,
		`{"items":[`+rowOf("2", "alice", "worker.updated")+`],"nextCursor":"c"}`)
	g.on("GET /api/admin/audit?action=worker.%2A&actor=alice&cursor=c&limit=1000&since=2026-01-01T00%3A00%3A00Z", http.StatusOK,
		`{"items":[`+rowOf("1", "\\u001b[31malice", "worker.registered")+`],"nextCursor":""}`)
	flags := []string{"admin", "audit", "list", "--limit", "0", "--action", "worker.*", "--actor", "alice", "--since", "2026-01-01T01:00:00+01:00"}
	r := g.run(flags...)
	r.want(t, ExitOK, "NUMBER", "worker.updated", "worker.registered", "2026-01-01T00:00:00.500Z", "192.0.2.7")
	if strings.Contains(r.out, "\x1b") {
		t.Errorf("an escape sequence reaches the terminal: %q", r.out)
	}
	g.run(append(flags, "-o", "json")...).want(t, ExitOK, `"n": 1.50`, `"nextCursor": ""`)
	for _, bad := range [][]string{{"--since", "yesterday"}, {"--until", "-1h"}, {"--limit", "-1"}} {
		g.run(append([]string{"admin", "audit", "list"}, bad...)...).want(t, ExitUsage)
	}
}

func TestAuditTail(t *testing.T) {
	g := newGateway(t)
	g.on("GET /api/admin/audit?limit=1", http.StatusOK, `{"items":[`+rowOf("9", "bob", "rule.posted")+`],"nextCursor":""}`)
	g.on("GET /api/admin/audit?actor=alice&limit=2", http.StatusOK,
		`{"items":[`+rowOf("7", "alice", "worker.paused")+`,`+rowOf("5", "alice", "worker.updated")+`],"nextCursor":"c"}`)
	r := g.run("admin", "audit", "tail", "-n", "2", "--actor", "alice")
	r.want(t, ExitOK)
	if first, second := strings.Index(r.out, "worker.updated"), strings.Index(r.out, "worker.paused"); first < 0 || second < first {
		t.Errorf("the oldest does not come first: %s", r.out)
	}
	r = g.run("admin", "audit", "tail", "-n", "2", "--actor", "alice", "-o", "json")
	if lines := strings.Split(strings.TrimSpace(r.out), "\n"); len(lines) != 2 || !strings.HasPrefix(lines[0], `{"id":"x","number":5,`) {
		t.Errorf("%q", r.out)
	}
	g.run("admin", "audit", "tail", "-n", "1001").want(t, ExitUsage)
}

func TestAuditVerifyOnline(t *testing.T) {
	g := newGateway(t)
	head := "7:" + strings.Repeat("ab", 32)
	g.on("GET /api/admin/audit/verify", http.StatusOK, `{"ok":true,"looked":{"first":3,"last":9,"rows":7},"unchained":{"first":3,"last":4,"rows":2},
"pruned":2,"keys":[{"key_id":"aabbccdd","first":5,"last":9,"rows":5}],"heads":1,"end":"9:00","findings":[],"more":0,"notes":["a note"]}`)
	g.on("GET /api/admin/audit/verify?head=7%3A"+strings.Repeat("ab", 32), http.StatusOK, `{"ok":false,"looked":{"first":1,"last":5,"rows":5},
"unchained":{"first":0,"last":0,"rows":0},"pruned":0,"keys":[],"heads":0,"end":"","findings":[{"kind":"cut_tail","first":6,"last":7,
"detail":"rows 6 to 7 are not there"}],"more":0,"notes":[]}`)
	g.run("admin", "audit", "verify").want(t, ExitOK, "7 rows", "rows 1 to 2 were removed by retention", "rows 3 to 4 are from before the chain",
		"key aabbccdd", "note: a note", "head: 9:00", "ok: the log is what was written")
	g.run("admin", "audit", "verify", "--head", head).want(t, ExitFailed, "cut_tail: rows 6 to 7 are not there", "NOT ok")
	g.run("admin", "audit", "verify", "--head", "7").want(t, ExitUsage)
	g.run("admin", "audit", "verify", "--key-file", "x").want(t, ExitUsage)
	g.run("admin", "audit", "verify", "--store", "postgres://u:hunter2@h/d").want(t, ExitUsage)
	g.run("admin", "audit", "verify", "--store", "mysql://h/d").want(t, ExitUsage)
}

// The command verifies an embedded store itself, with the key beside it or another.
func TestAuditVerifyOffline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "muster.db")
	keys, _, err := audit.EnsureKeyFile(path + ".audit-key")
	if err != nil {
		t.Fatal(err)
	}
	store, err := duckdb.Open(t.Context(), path, duckdb.Options{Logger: slog.New(slog.DiscardHandler), Chain: keys})
	if err != nil {
		t.Fatal(err)
	}
	_, err = store.Write(t.Context(), func(ctx context.Context, tx registry.Tx) error {
		for range 3 {
			if err := tx.Audit(ctx, registry.AuditEntry{ID: "x", At: time.Now(), Action: "worker.updated", Resource: "worker:1", Result: "ok"}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	g := newGateway(t)
	if r := g.run("admin", "audit", "verify", "--store", "duckdb:"+path); r.code != ExitUnavailable && r.code != ExitFailed {
		t.Errorf("a store that is held: %d %s", r.code, r.err)
	}
	if err := store.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.run("admin", "audit", "verify", "--store", "duckdb:"+path).want(t, ExitOK, "3 rows", "key "+keys.Current(), "ok:")
	other := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(other, []byte(audit.NewKey()), 0o600); err != nil {
		t.Fatal(err)
	}
	g.run("admin", "audit", "verify", "--store", "duckdb:"+path, "--key-file", other).want(t, ExitFailed, "unknown_key", "rows 1 to 3")
	if err := os.Chmod(other, 0o644); err != nil {
		t.Fatal(err)
	}
	if r := g.run("admin", "audit", "verify", "--store", "duckdb:"+path, "--key-file", other); r.code == ExitOK || !strings.Contains(r.err, "chmod 600") {
		t.Errorf("a key that all may read: %d %s", r.code, r.err)
	}
}
