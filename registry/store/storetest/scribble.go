package storetest

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/registry"
)

// Ack is one change that was acknowledged.
type Ack struct {
	// Revision is the store's, as the snapshot shows it when the call returns.
	Revision registry.Revision
	Action   string
	// Resource is what was changed, as the audit log names it.
	Resource string
}

// scribbled is how many workers Scribble works on.
const scribbled = 10

// Scribbler is an Inspector for Scribble.
func Scribbler() registry.Inspector {
	f := newFleet()
	for n := range scribbled {
		w := Worker(n)
		f.serve(w)
		w.URL = otherURL(n)
		f.serve(w)
	}
	return f
}

func otherURL(n int) string { return fmt.Sprintf("https://other%d/", n) }

// Scribble makes one random change, of every kind that the service knows. It
// returns the action and the resource that the audit log must now hold.
func Scribble(ctx context.Context, s *registry.Service, r *rand.Rand) (action, resource string, err error) {
	switch r.IntN(5) {
	case 0:
		return scribbleTable(ctx, s, r)
	case 1, 2:
		return ScribbleRules(ctx, s, r)
	}
	action, id, err := scribbleWorker(ctx, s, r)
	return action, "worker:" + string(id), err
}

func scribbleWorker(ctx context.Context, s *registry.Service, r *rand.Rand) (action string, id registry.WorkerID, err error) {
	n := r.IntN(scribbled)
	w := s.Snapshot().Worker(uuidOf(n))
	if w == nil {
		_, err = s.Register(ctx, admin, input(Worker(n)), false)
		return registry.ActionRegistered, uuidOf(n), err
	}
	switch r.IntN(7) {
	case 0:
		_, err = s.Deregister(ctx, admin, w.ID)
		return registry.ActionDeleted, w.ID, err
	case 1:
		to := otherURL(n)
		if w.URL == to {
			to = Worker(n).URL
		}
		_, err = s.Update(ctx, admin, w.ID, registry.Patch{URL: &to}, "")
		return registry.ActionUpdated, w.ID, err
	case 2:
		_, err = s.Update(ctx, admin, w.ID, registry.Patch{Active: ptr(!w.Active)}, "")
		if w.Active {
			return registry.ActionPaused, w.ID, err
		}
		return registry.ActionResumed, w.ID, err
	case 3:
		if w.Quarantined != nil {
			return registry.ActionPardoned, w.ID, s.Pardon(ctx, admin, w.ID)
		}
		return registry.ActionQuarantined, w.ID, s.Quarantine(ctx, w.ID, "scribbled")
	case 4:
		return registry.ActionVersionChanged, w.ID, s.RecordVersion(ctx, w.ID, fmt.Sprint("v", r.Uint64()))
	default:
		_, err = s.Update(ctx, admin, w.ID, registry.Patch{Name: ptr(fmt.Sprint("name ", r.Uint64()))}, "")
		return registry.ActionUpdated, w.ID, err
	}
}

// Ledger checks, from the audit log alone, what must be in a store: replaying the
// log must give the records that are there, so a change without its row, a row
// without its change and half of either are found.
type Ledger struct {
	number   int64
	revision registry.Revision
	records  map[registry.WorkerID]ledgerRecord
	rows     map[registry.Revision]registry.AuditEntry
	sealed   map[int64]bool // numbers of rows that a head was stored of
	rules    ruleLedger
	tables   tableLedger
}

type ledgerRecord struct {
	UUID       registry.WorkerID `json:"uuid"`
	Name       string            `json:"name"`
	URL        string            `json:"url"`
	Version    string            `json:"version"`
	Active     bool              `json:"active"`
	Revision   int64             `json:"revision"`
	UpdatedAt  time.Time         `json:"updatedAt"`
	Quarantine *struct {
		Reason string    `json:"reason"`
		Since  time.Time `json:"since"`
	} `json:"quarantine"`
}

// Check reads the store and fails the test unless the store is whole and holds
// every change in acks. Called again, it reads on where it ended.
func (l *Ledger) Check(t testing.TB, s registry.Store, acks []Ack) {
	t.Helper()
	if l.records == nil {
		l.records, l.rows = map[registry.WorkerID]ledgerRecord{}, map[registry.Revision]registry.AuditEntry{}
	}
	rows, err := s.AuditTrail(t.Context(), l.number, 1_000_000)
	if err != nil {
		t.Fatalf("read the audit log: %v", err)
	}
	l.readHeads(t, s)
	for _, e := range rows {
		l.replay(t, e)
	}
	for _, a := range acks {
		if e, there := l.rows[a.Revision]; !there || e.Action != a.Action || e.Resource != a.Resource {
			t.Fatalf("%s of %s was acknowledged at revision %d, where the audit log has %+v", a.Action, a.Resource, a.Revision, e)
		}
	}
	c := load(t, s, 0)
	if !l.follows(c.Revision, l.revision) {
		t.Fatalf("the store is at revision %d and its audit log at %d", c.Revision, l.revision)
	}
	if len(c.Workers) != len(l.records) {
		t.Fatalf("%d workers, of which the audit log tells %d", len(c.Workers), len(l.records))
	}
	for _, w := range c.Workers {
		r, there := l.records[w.ID]
		if !there || r.Name != w.Name || r.URL != w.URL || r.Version != w.Version || r.Active != w.Active || r.Revision != w.Revision ||
			!r.UpdatedAt.Equal(w.UpdatedAt) || (r.Quarantine != nil) != (w.Quarantined != nil) {
			t.Fatalf("the record %+v is not the audit log's %+v", w, r)
		}
	}
	l.rules.check(t, s, c.Rules)
	l.tables.check(t, s)
}

// readHeads reads which rows a head was stored of.
func (l *Ledger) readHeads(t testing.TB, s registry.Store) {
	t.Helper()
	heads, err := s.AuditHeads(t.Context(), 0, 1_000_000)
	if err != nil {
		t.Fatalf("read the heads of the audit log: %v", err)
	}
	l.sealed = map[int64]bool{}
	for _, h := range heads {
		l.sealed[h.Number] = true
	}
}

// follows reports whether nothing but the storing of the head of the last row lies
// between the revision of that row and another one. That is no row of its own.
func (l *Ledger) follows(rev, last registry.Revision) bool {
	return rev == last || rev == last+1 && l.sealed[l.number]
}

// replay takes in one row of the log.
func (l *Ledger) replay(t testing.TB, e registry.AuditEntry) {
	t.Helper()
	// The system groups are made in one transaction, with a row for each.
	together := e.Action == registry.ActionGroupCreated && e.Revision == l.revision
	if e.Number != l.number+1 || !together && !l.follows(e.Revision-1, l.revision) {
		t.Fatalf("after row %d at revision %d comes row %d at %d", l.number, l.revision, e.Number, e.Revision)
	}
	l.number, l.revision = e.Number, e.Revision
	l.rows[e.Revision] = e
	if e.Action == registry.ActionGateway {
		return
	}
	if strings.HasPrefix(e.Resource, tableResource("")) {
		l.tables.replay(t, e)
		return
	}
	if !strings.HasPrefix(e.Resource, "worker:") {
		l.rules.replay(t, e)
		return
	}
	before, after := l.parse(t, e.Before), l.parse(t, e.After)
	id := registry.WorkerID(e.Resource[len("worker:"):])
	was, there := l.records[id]
	if there != (before != nil) || there && (was.Name != before.Name || was.Revision != before.Revision || was.URL != before.URL) {
		t.Fatalf("row %d says that before it was %+v, but it was %+v", e.Number, before, was)
	}
	delete(l.records, id)
	if after != nil {
		l.records[id] = *after
	}
}

func (l *Ledger) parse(t testing.TB, data []byte) *ledgerRecord {
	t.Helper()
	if data == nil {
		return nil
	}
	var r ledgerRecord
	if err := json.Unmarshal(data, &r); err != nil {
		t.Fatalf("a row of the audit log: %v", err)
	}
	return &r
}

// Exercise changes and removes every record there is, and makes new ones: what a
// broken index refuses.
func Exercise(t testing.TB, s *registry.Service) {
	t.Helper()
	for _, w := range slices.Clone(s.Snapshot().Workers) {
		if _, err := s.Update(t.Context(), admin, w.ID, registry.Patch{Name: ptr("after")}, ""); err != nil {
			t.Fatalf("update what was there before the kill: %v", err)
		}
		if _, err := s.Deregister(t.Context(), admin, w.ID); err != nil {
			t.Fatalf("remove what was there before the kill: %v", err)
		}
	}
	for n := range scribbled / 2 {
		register(t, s, Worker(n))
	}
	exerciseRules(t, s)
	exerciseTables(t, s)
}
