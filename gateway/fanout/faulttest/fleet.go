package faulttest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/muster-fleet/muster/gateway/address"
	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
	"github.com/muster-fleet/muster/workers/token"
)

// Observed is one call of the observer.
type Observed struct {
	Worker registry.WorkerID
	Result fanout.Result
	Reason string
}

// Observer remembers what it was told.
type Observer struct {
	mu  sync.Mutex
	all []Observed
}

// Observe implements fanout.Observer.
func (o *Observer) Observe(id registry.WorkerID, r fanout.Result, reason string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.all = append(o.all, Observed{id, r, reason})
}

// All returns what was observed so far.
func (o *Observer) All() []Observed {
	o.mu.Lock()
	defer o.mu.Unlock()
	return append([]Observed(nil), o.all...)
}

// Loopback is a dialer that may reach loopback addresses only.
func Loopback() *address.Dialer {
	return &address.Dialer{Policy: &address.Policy{Allowed: address.Loopback()}}
}

// Fleet makes a fleet that is closed when the test ends. change may be nil.
func Fleet(t testing.TB, cfg fanout.Config, change func(*fanout.Deps)) (*fanout.Fleet, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewRegistry()
	deps := fanout.Deps{Dialer: Loopback(), Logger: slog.New(slog.DiscardHandler), Metrics: reg}
	if change != nil {
		change(&deps)
	}
	f, err := fanout.New(t.Context(), cfg, deps)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := f.Close(t.Context()); err != nil && t.Context().Err() == nil {
			t.Error(err)
		}
	})
	return f, reg
}

// Worker makes the record of an active ExternalGraphSecurity worker that obeys the
// laws, with more time than a busy machine needs.
func Worker(n int, url string) *registry.Worker {
	transport := registry.TransportREST
	if strings.HasPrefix(url, "grpc") {
		transport = registry.TransportGRPC
	}
	return &registry.Worker{
		ID:   registry.WorkerID(fmt.Sprintf("00000000-0000-4000-8000-%012d", n)),
		Name: fmt.Sprintf("worker-%02d", n), URL: url, Class: registry.ClassResult, Type: registry.TypeGraphSecurity,
		Version: "1", Transport: transport, Active: true, Revision: 1,
		Conformance: registry.Conformance{Level: registry.LevelLaws, Version: "1"},
		Settings: registry.Settings{
			Timeout: 30 * time.Second, OnFailure: registry.FailRequest, Identity: registry.IdentityForward, MaxConcurrent: 64,
		},
	}
}

// Snapshot makes a snapshot over workers.
func Snapshot(workers ...*registry.Worker) *registry.Snapshot {
	return registry.NewSnapshot("00000000-0000-4000-8000-999999999999", 7, time.Now(), workers)
}

// Alice is a caller.
var Alice = &token.Principal{Issuer: "https://issuer.test", Subject: "alice", Username: "alice"}

// Node writes one node.
func Node(id string) string {
	name, err := json.Marshal(id)
	if err != nil {
		panic(err)
	}
	return fmt.Sprintf(`{"elementId":%s,"labels":["Person","Ünïcode"],"properties":{"name": "x\u0041","big":90071992547409930001,"secret":"s-%s", "nested":{"a":[1,null]}}}`, name, strings.ReplaceAll(id, `"`, ""))
}

// Relationship writes one relationship.
func Relationship(id, from, to string) string {
	return fmt.Sprintf(`{"elementId":%q,"type":"KNOWS","startNodeLabel":"Person","endNodeLabel":"Person","startNodeElementId":%q,"endNodeElementId":%q,"properties":{"since":12.50,"secret":1}}`, id, from, to)
}

// Nodes reads a body of n nodes named n0, n1 and so on.
func Nodes(t testing.TB, n int) *element.Request {
	t.Helper()
	parts := make([]string, n)
	for i := range parts {
		parts[i] = Node(fmt.Sprintf("n%d", i))
	}
	return Parse(t, `{"parameters":{"type":"nodes"},"data":[`+strings.Join(parts, ", ")+`]}`)
}

// Parse reads a body.
func Parse(t testing.TB, body string) *element.Request {
	t.Helper()
	r, err := element.ParseRequest([]byte(body), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
