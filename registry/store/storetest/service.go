package storetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

// fleet answers inspections: the network is tested elsewhere.
type fleet struct {
	mu     sync.Mutex
	byURL  map[string]registry.Info
	errs   map[string]error
	calls  int
	before func() // runs during an inspection
}

func newFleet() *fleet { return &fleet{byURL: map[string]registry.Info{}, errs: map[string]error{}} }

// serve has the nth worker answer at its url.
func (f *fleet) serve(all ...*registry.Worker) *fleet {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range all {
		f.byURL[w.URL] = registry.Info{Class: w.Class, Type: w.Type, ID: w.ID, Version: w.Version}
	}
	return f
}

// Inspect implements registry.Inspector.
func (f *fleet) Inspect(_ context.Context, url string, _ registry.Transport) (registry.Info, error) {
	f.mu.Lock()
	f.calls++
	info, there := f.byURL[url]
	err, before := f.errs[url], f.before
	f.mu.Unlock()
	if before != nil {
		before()
	}
	if err != nil {
		return info, err
	}
	if !there {
		return registry.Info{}, fault.New(fault.Unprocessable, "unreachable", "nobody answers at %s", url)
	}
	return info, nil
}

func (f *fleet) called() int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.calls
}

// clock is a time that tests set.
type clock struct {
	mu sync.Mutex
	at time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.at
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.at = c.at.Add(d)
}

var admin = registry.Actor{Subject: "sub-1", Issuer: "https://issuer", Username: "admin", RequestID: "req-1", Address: "192.0.2.7"}

// service opens a Service over a store of its own and closes both at the end.
func service(t testing.TB, open Open, f registry.Inspector, change ...func(*registry.Options)) *registry.Service {
	t.Helper()
	store, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatalf("open the store: %v", err)
	}
	o := registry.Options{Logger: logger(t), Inspector: f}
	for _, c := range change {
		c(&o)
	}
	s, err := registry.Open(t.Context(), store, o)
	if err != nil {
		t.Fatal(errors.Join(err, store.Close(t.Context())))
	}
	t.Cleanup(func() {
		if err := s.Close(context.WithoutCancel(t.Context())); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return s
}

func input(w *registry.Worker) registry.RegisterInput {
	return registry.RegisterInput{URL: w.URL, UUID: string(w.ID), Name: w.Name}
}

func register(t testing.TB, s *registry.Service, all ...*registry.Worker) {
	t.Helper()
	for _, w := range all {
		if _, err := s.Register(t.Context(), admin, input(w), false); err != nil {
			t.Fatalf("register: %v", err)
		}
	}
}

// audited is the audit log without its beginning, which tells of the gateway's uuid
// and the system groups.
func audited(t testing.TB, s *registry.Service) []registry.AuditEntry {
	t.Helper()
	all, err := s.AuditTrail(t.Context(), 0, 10_000)
	const beginning = registry.ActionGateway + " " + registry.ActionGroupCreated + " " + registry.ActionGroupCreated
	if err != nil || len(all) < 3 || actionsOf(all[:3]) != beginning {
		t.Fatalf("%v %+v", err, all)
	}
	return all[3:]
}

func lastAction(t testing.TB, s *registry.Service) string {
	t.Helper()
	all := audited(t, s)
	if len(all) == 0 {
		return ""
	}
	return all[len(all)-1].Action
}

// refused asserts that err is a fault of this code.
func refused(t testing.TB, err error, code string) *fault.Error {
	t.Helper()
	var e *fault.Error
	if !errors.As(err, &e) || e.Code != code {
		t.Fatalf("%v, not %s", err, code)
	}
	return e
}

func serviceTests() map[string]func(*testing.T, Backend) {
	return map[string]func(*testing.T, Backend){
		"register, see, audit, reopen":       testRegister,
		"a dry run stores nothing":           testDryRun,
		"conflicts before the call":          testConflicts,
		"conflicts decided again at the end": testLateConflicts,
		"enrolment is idempotent":            testEnrolment,
		"the answer is judged as a whole":    testAnswers,
		"the gateway cannot register itself": testSelf,
		"the gateway's uuid":                 testGatewayID,
		"quarantine and pardon":              testQuarantine,
		"versions and conformance":           testVersions,
		"removing":                           testDeregister,
		"text that no store could keep":      testUnstorableText,
	}
}

func testRegister(t *testing.T, b Backend) {
	open := b.New(t)
	w := Worker(1)
	s := service(t, open, newFleet().serve(w))
	in := input(w)
	in.UUID, in.Name = "{"+strings.ToUpper(in.UUID)+"}", ""
	got, err := s.Register(t.Context(), admin, in, false)
	if err != nil {
		t.Fatal(err)
	}
	if got.ID != w.ID || got.Name != "w1:8080" || got.Revision != 1 || got.RegisteredBy != "admin" || !got.Active ||
		got.Settings != registry.DefaultSettings() || got.Version != "1.0.0" || got.Transport != registry.TransportREST {
		t.Errorf("%+v", got)
	}
	seen := s.Snapshot().Worker(w.ID)
	if seen == nil || !same(seen, &got) || s.Snapshot().Revision != 2 {
		t.Fatalf("the snapshot has %+v", seen)
	}
	all := audited(t, s)
	if len(all) != 1 {
		t.Fatalf("%d rows", len(all))
	}
	e := all[0]
	if e.Action != registry.ActionRegistered || e.Actor != admin || e.Resource != "worker:"+string(w.ID) || e.Before != nil ||
		!strings.Contains(string(e.After), `"url":"http://w1:8080/filter"`) || e.Revision != 2 || e.At != got.RegisteredAt {
		t.Errorf("%+v %s", e, e.After)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := service(t, open, newFleet())
	if seen := again.Snapshot().Worker(w.ID); seen == nil || !same(seen, &got) || again.Snapshot().Gateway != s.Snapshot().Gateway {
		t.Errorf("after reopening: %+v", seen)
	}
	// Closing has sealed the audit log, which is the one change.
	if again.Snapshot().Revision != 3 {
		t.Errorf("a restart moved the revision to %d", again.Snapshot().Revision)
	}
}

func testDryRun(t *testing.T, b Backend) {
	w := Worker(1)
	s := service(t, b.New(t), newFleet().serve(w))
	before := s.Snapshot().Revision
	got, err := s.Register(t.Context(), admin, input(w), true)
	if err != nil || got.ID != w.ID || got.Class != registry.ClassResult || got.Revision != 1 {
		t.Fatalf("%+v %v", got, err)
	}
	if s.Snapshot().Worker(w.ID) != nil || s.Snapshot().Revision != before || len(audited(t, s)) != 0 {
		t.Error("a dry run left something")
	}
	_, err = s.Register(t.Context(), admin, input(Worker(2)), true)
	refused(t, err, "unreachable")
}

func testConflicts(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1), Worker(2))
	s := service(t, b.New(t), f)
	register(t, s, Worker(1), Worker(2))
	calls := f.called()
	for name, c := range map[string]struct{ uuid, url, code string }{
		"same uuid":            {string(uuidOf(1)), "http://other:1/", "uuid_taken"},
		"same uuid, other url": {"{" + strings.ToUpper(string(uuidOf(1))) + "}", Worker(2).URL, "uuid_taken"},
		"same url":             {string(uuidOf(3)), "HTTP://w1:8080/./filter", "url_taken"},
		"both the same":        {string(uuidOf(1)), Worker(1).URL, "uuid_taken"},
	} {
		for _, dry := range []bool{true, false} {
			_, err := s.Register(t.Context(), admin, registry.RegisterInput{URL: c.url, UUID: c.uuid}, dry)
			if e := refused(t, err, c.code); e.Kind != fault.Conflict {
				t.Errorf("%s: %v", name, e.Kind)
			}
		}
	}
	// All that is wrong with the body comes before conflicts.
	_, err := s.Register(t.Context(), admin, registry.RegisterInput{URL: Worker(1).URL, UUID: string(uuidOf(1)), Transport: "soap"}, false)
	refused(t, err, "bad_transport")
	if f.called() != calls {
		t.Errorf("%d calls for what was refused", f.called()-calls)
	}
	// Another path of the same origin is another url, with the same answer.
	elsewhere := Worker(3)
	elsewhere.URL = "http://w1:8080/other"
	f.serve(elsewhere)
	register(t, s, elsewhere)
}

func testLateConflicts(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	first := true
	f.before = func() {
		if first { // a second registration overtakes the first while it calls the worker
			first = false
			register(t, s, Worker(1))
		}
	}
	_, err := s.Register(t.Context(), admin, input(Worker(1)), false)
	refused(t, err, "uuid_taken")
	if n := len(audited(t, s)); n != 1 {
		t.Errorf("%d rows", n)
	}
}

func testEnrolment(t *testing.T, b Backend) {
	f := newFleet().serve(Worker(1))
	s := service(t, b.New(t), f)
	in := input(Worker(1))
	in.Enrols = true
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if w, err := s.Register(t.Context(), admin, in, false); err != nil || w.ID != uuidOf(1) {
				t.Errorf("%+v %v", w, err)
			}
		})
	}
	wg.Wait()
	if n := len(audited(t, s)); n != 1 {
		t.Errorf("%d rows for one registration", n)
	}
	rev := s.Snapshot().Revision
	if err := s.Quarantine(t.Context(), uuidOf(1), "lied"); err != nil {
		t.Fatal(err)
	}
	in.URL = "HTTP://W1:8080/filter"
	w, err := s.Register(t.Context(), admin, in, false)
	if err != nil || w.Quarantined == nil || w.Revision != 1 || s.Snapshot().Revision != rev+1 {
		t.Errorf("enrolling again must neither change nor pardon: %+v %v", w, err)
	}
	in.URL = "http://elsewhere:1/"
	_, err = s.Register(t.Context(), admin, in, false)
	refused(t, err, "uuid_taken")
}

func testAnswers(t *testing.T, b Backend) {
	f := newFleet()
	s := service(t, b.New(t), f)
	missing := &fault.Error{Kind: fault.Unprocessable, Code: "missing_field", Detail: "version is missing",
		Violations: []fault.Violation{{Code: "missing_field", Detail: "version is missing"}}}
	for name, c := range map[string]struct {
		info  registry.Info
		err   error
		codes string
	}{
		"all wrong":      {registry.Info{Class: "x", Type: "y", ID: uuidOf(2), Version: "1"}, nil, "uuid_mismatch unsupported_class unsupported_type"},
		"nothing there":  {registry.Info{}, nil, "missing_field"},
		"lacks and lies": {registry.Info{Class: "result", Type: "y", ID: "no uuid"}, missing, "missing_field uuid_mismatch unsupported_type"},
		"other type":     {registry.Info{Class: "result", Type: "ConnectorExtractor", ID: uuidOf(1), Version: "1"}, nil, "unsupported_type"},
		"other class":    {registry.Info{Class: "extract", Type: "ConnectorExtractor", ID: uuidOf(1), Version: "1"}, nil, "unsupported_class unsupported_type"},
		"no answer":      {registry.Info{}, fault.New(fault.Unprocessable, "timeout", "5 s"), "timeout"},
	} {
		w := Worker(1)
		f.byURL[w.URL], f.errs[w.URL] = c.info, c.err
		_, err := s.Register(t.Context(), admin, input(w), false)
		var e *fault.Error
		if !errors.As(err, &e) || e.Kind != fault.Unprocessable {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var codes []string
		for _, v := range e.Violations {
			codes = append(codes, v.Code)
		}
		if got := strings.Join(codes, " "); got != c.codes || e.Code != codes[0] {
			t.Errorf("%s: %s with %s, not %s", name, e.Code, got, c.codes)
		}
		if strings.Contains(c.codes, "unsupported_type") && !strings.Contains(fmt.Sprint(e.Violations), registry.TypeRuleTransformation) {
			t.Errorf("%s: does not list what is supported: %v", name, e.Violations)
		}
	}
	f.errs[Worker(1).URL] = errors.New("no fault")
	_, err := s.Register(t.Context(), admin, input(Worker(1)), false)
	refused(t, err, "internal")
}

func testSelf(t *testing.T, b Backend) {
	f := newFleet()
	s := service(t, b.New(t), f)
	_, err := s.Register(t.Context(), admin, registry.RegisterInput{URL: "http://me:1/", UUID: strings.ToUpper(string(s.Snapshot().Gateway))}, false)
	refused(t, err, "self_registration")
	if f.called() != 0 {
		t.Error("called")
	}
}

func testGatewayID(t *testing.T, b Backend) {
	open := b.New(t)
	id := func(o string) registry.WorkerID {
		s := service(t, open, newFleet(), func(opts *registry.Options) { opts.GatewayID = registry.WorkerID(o) })
		id := s.Snapshot().Gateway
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		return id
	}
	made := id("")
	if _, err := registry.ParseWorkerID(string(made)); err != nil {
		t.Fatal(err)
	}
	if kept := id(""); kept != made {
		t.Errorf("%s was not kept, it is %s now", made, kept)
	}
	if set := id("{" + strings.ToUpper(string(uuidOf(5))) + "}"); set != uuidOf(5) {
		t.Errorf("set %s", set)
	}
	if kept := id(""); kept != uuidOf(5) {
		t.Errorf("the one that was set was not kept: %s", kept)
	}
	store := opened(t, open)
	if _, err := registry.Open(t.Context(), store, registry.Options{Logger: logger(t), Inspector: newFleet(), GatewayID: "x"}); err == nil {
		t.Error("opened with a bad uuid")
	}
}
