package storetest

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
)

func testDenials(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	rows := len(audited(t, s))
	rev := s.Snapshot().Revision
	for range 3 {
		s.AuditRefused(admin, "user_group.deleted", "group:x", "denied")
	}
	s.AuditRefused(alice.actor, "user_group.deleted", "group:\x00", "system_group")
	eventually(t, "the refusals are told", func() bool {
		n := 0.0
		for _, e := range accessRows(t, s, rows) {
			n += said(t, e.After, "count").(float64)
		}
		return n == 4
	})
	for _, e := range accessRows(t, s, rows) {
		if e.Action != "user_group.deleted" || e.Before != nil {
			t.Errorf("%+v", e)
		}
		switch e.Result {
		case "denied":
			if e.Actor != admin || e.Resource != "group:x" {
				t.Errorf("%+v", e)
			}
		case "system_group":
			if e.Actor != alice.actor || e.Resource != "group:\uFFFD" {
				t.Errorf("%+v", e)
			}
		default:
			t.Errorf("the result %s", e.Result)
		}
	}
	// The store has them a moment before the snapshot.
	eventually(t, "the rows have a revision", func() bool { return s.Snapshot().Revision > rev })
	// What waits when Muster ends is written before it has ended.
	n := len(audited(t, s))
	s.AuditRefused(admin, "token.create", "token", "denied")
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	again := service(t, open, newFleet())
	if left := accessRows(t, again, n); len(left) != 1 || left[0].Action != "token.create" {
		t.Errorf("%+v", left)
	}
	s.AuditRefused(admin, "token.create", "token", "denied") // nobody writes it, and nobody waits
}

func testDenialFlood(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	rows := len(audited(t, s))
	const flood = 5000
	for n := range flood {
		s.AuditRefused(admin, "worker.deleted", fmt.Sprint("worker:", n), fmt.Sprint("code_", n%300))
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := accessRows(t, service(t, open, newFleet()), rows)
	one, more := 0, 0.0
	for _, e := range told {
		if e.Action == registry.ActionRefusedMore {
			more += said(t, e.After, "count").(float64)
			if by := said(t, e.After, "by_code").(map[string]any); len(by) > 101 || e.Result != "refused" {
				t.Errorf("%d codes, %s", len(by), e.Result)
			}
			continue
		}
		one += int(said(t, e.After, "count").(float64))
	}
	if one+int(more) != flood || one < 1000 || one > 2000 {
		t.Errorf("%d told one by one, %v counted: %d in all, not %d", one, more, one+int(more), flood)
	}
}

// flaky is a store that cannot be written to for a while.
type flaky struct {
	registry.Store

	down chan struct{} // closed when it is up again
}

func (f flaky) Write(ctx context.Context, fn func(context.Context, registry.Tx) error) (registry.Revision, error) {
	select {
	case <-f.down:
		return f.Store.Write(ctx, fn)
	default:
		return 0, fault.New(fault.Unavailable, "store_unavailable", "not now")
	}
}

func testDenialsWait(t *testing.T, b Backend) {
	open := b.New(t)
	if err := service(t, open, newFleet()).Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	store, err := open(t.Context(), logger(t))
	if err != nil {
		t.Fatal(err)
	}
	f := flaky{store, make(chan struct{})}
	s, err := registry.Open(t.Context(), f, registry.Options{Logger: logger(t), Inspector: newFleet()})
	if err != nil {
		t.Fatal(err)
	}
	rows := len(audited(t, s))
	s.AuditRefused(admin, "a", "b", "denied")
	eventually(t, "it was tried", func() bool { return s.StoreError() != nil })
	s.AuditRefused(admin, "a", "b", "denied")
	s.AuditRefused(admin, "c", "d", "denied")
	close(f.down)
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	told := accessRows(t, service(t, open, newFleet()), rows)
	if len(told) != 2 || told[0].Action != "a" || said(t, told[0].After, "count") != 2.0 || said(t, told[0].After, "first") == nil || told[1].Action != "c" {
		t.Errorf("%+v", told)
	}
}

func testTokenUses(t *testing.T, b Backend) {
	open := b.New(t)
	s := service(t, open, newFleet())
	alice := see(t, s, tokenBy("alice", 1))
	k := giveToken(t, s, alice.ID, 1)
	rows := len(audited(t, s))
	at := time.Now().UTC().Truncate(time.Microsecond)
	for n := range 100 {
		s.TokenUsed(k.ID, at.Add(time.Duration(n)*time.Millisecond), "192.0.2.1")
	}
	s.TokenUsed(uuid.New(), at, "192.0.2.9") // gone meanwhile
	reopen := func() {
		t.Helper()
		if err := s.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		s = service(t, open, newFleet())
	}
	reopen()
	used := s.Snapshot().Access.Token(k.ID)
	if used.LastUsed != at.Add(99*time.Millisecond) || used.LastAddress != "192.0.2.1" || len(audited(t, s)) != rows {
		t.Errorf("%+v: the first address of all is no news", used)
	}
	s.TokenUsed(k.ID, at.Add(30*time.Second), "192.0.2.1")
	reopen()
	if now := s.Snapshot().Access.Token(k.ID); now.LastUsed != used.LastUsed {
		t.Error("two writes within a minute")
	}
	for n := range 100 {
		s.TokenUsed(k.ID, at.Add(40*time.Second), []string{"192.0.2.1", "192.0.2.2", "192.0.2.3"}[n%3])
	}
	eventually(t, "new addresses are told", func() bool { return len(audited(t, s)) == rows+2 })
	for i, e := range accessRows(t, s, rows) {
		if e.Action != registry.ActionTokenNewAddress || e.Resource != "token:"+k.ID.String() || e.Actor.User != alice.ID.String() ||
			e.Actor.Token != k.ID.String() || e.Actor.Username != "alice" || said(t, e.After, "address") != []any{"192.0.2.2", "192.0.2.3"}[i] {
			t.Errorf("%+v %s", e, e.After)
		}
	}
	s.TokenUsed(k.ID, at.Add(3*time.Minute), "192.0.2.3")
	reopen()
	if used := s.Snapshot().Access.Token(k.ID); used.LastUsed != at.Add(3*time.Minute) || used.LastAddress != "192.0.2.3" || len(audited(t, s)) != rows+2 {
		t.Errorf("%+v", used)
	}
	// A use that is noted late does not bring a revoked token back.
	s.TokenUsed(k.ID, at.Add(5*time.Minute), "192.0.2.3")
	if err := s.RevokeToken(t.Context(), admin, k.ID, sure); err != nil {
		t.Fatal(err)
	}
	reopen()
	if used := s.Snapshot().Access.Token(k.ID); used.RevokedAt.IsZero() || used.LastUsed != at.Add(5*time.Minute) {
		t.Errorf("%+v", used)
	}
}
