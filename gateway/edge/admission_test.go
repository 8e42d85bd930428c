package edge_test

import (
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/proto/fault"
)

func TestAdmissionBoundsRequestsAndShares(t *testing.T) {
	t.Parallel()
	a := edge.NewAdmission(edge.AdmissionConfig{Requests: 64, Bytes: 1 << 20, PrincipalShare: 0.5})
	var held []*edge.Ticket
	enter := func(who string) error {
		tk, err := a.Enter(who)
		if err == nil {
			held = append(held, tk)
		}
		return err
	}
	for i := range 32 {
		if err := enter("alice"); err != nil {
			t.Fatalf("alice's request %d: %v", i, err)
		}
	}
	err := enter("alice")
	if e := fault.From(err); err == nil || e.Kind != fault.Throttled || e.RetryAfter <= 0 {
		t.Fatalf("beyond alice's share: %v, want throttled with a wait", err)
	}
	for i := range 32 {
		if err := enter("bob"); err != nil {
			t.Fatalf("bob's request %d: %v", i, err)
		}
	}
	err = enter("admin")
	if e := fault.From(err); err == nil || e.Code != "overloaded" || e.Kind != fault.Unavailable || e.RetryAfter <= 0 {
		t.Fatalf("beyond the whole: %v, want overloaded with a wait", err)
	}
	for _, tk := range held {
		tk.Leave()
	}
	if r, b := a.InFlight(); r != 0 || b != 0 {
		t.Fatalf("after all left %d requests and %d bytes are in flight", r, b)
	}
	if a.Shed() != 2 {
		t.Errorf("shed %d, want 2", a.Shed())
	}
}

func TestWithoutSharesOnePrincipalMayFillTheGateway(t *testing.T) {
	t.Parallel()
	a := edge.NewAdmission(edge.AdmissionConfig{Requests: 64, Bytes: 1 << 20, PrincipalShare: 1})
	for i := range 64 {
		if _, err := a.Enter("alice"); err != nil {
			t.Fatalf("request %d: %v", i, err)
		}
	}
	if _, err := a.Enter("alice"); !fault.Is(err, "overloaded") {
		t.Errorf("got %v, want overloaded: alice has no share to be over", err)
	}
}

func TestAdmissionBoundsBytes(t *testing.T) {
	t.Parallel()
	a := edge.NewAdmission(edge.AdmissionConfig{Requests: 64, Bytes: 1000, PrincipalShare: 0.5})
	alone, err := a.Enter("alice")
	if err != nil {
		t.Fatal(err)
	}
	if err := alone.Reserve(1000); err != nil {
		t.Fatalf("the only request of a principal may use all bytes: %v", err)
	}
	other, err := a.Enter("bob")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Reserve(1); !fault.Is(err, "overloaded") {
		t.Fatalf("got %v, want overloaded", err)
	}
	alone.Leave()
	second, err := a.Enter("bob")
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Reserve(500); err != nil {
		t.Fatal(err)
	}
	if err := second.Reserve(1); !fault.Is(err, "over_share") {
		t.Fatalf("got %v, want over_share", err)
	}
	other.Leave()
	second.Leave()
}

func TestAdmissionNeverBelowMinimum(t *testing.T) {
	t.Parallel()
	a := edge.NewAdmission(edge.AdmissionConfig{Requests: 1, Bytes: 1})
	for i := range edge.MinRequests {
		if _, err := a.Enter("alice"); err != nil {
			t.Fatalf("request %d on an idle gateway: %v", i, err)
		}
	}
}

// Whatever the order of entering, reserving and leaving, the books balance and
// no limit is passed.
func TestAdmissionBooksBalance(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		const limit = 10_000
		a := edge.NewAdmission(edge.AdmissionConfig{Requests: 64, Bytes: limit, PrincipalShare: 0.7})
		var held []*edge.Ticket
		for range rapid.IntRange(0, 300).Draw(t, "steps") {
			switch rapid.IntRange(0, 2).Draw(t, "step") {
			case 0:
				if tk, err := a.Enter(rapid.SampledFrom([]string{"alice", "bob"}).Draw(t, "who")); err == nil {
					held = append(held, tk)
				}
			case 1:
				if len(held) > 0 {
					// A refusal is a fine outcome here; the limits are checked below.
					_ = held[rapid.IntRange(0, len(held)-1).Draw(t, "which")].Reserve(int64(rapid.IntRange(0, 4000).Draw(t, "bytes")))
				}
			default:
				if len(held) > 0 {
					held[0].Leave()
					held = held[1:]
				}
			}
			if r, b := a.InFlight(); r != len(held) || b < 0 || b > limit {
				t.Fatalf("%d requests held, %d counted, %d bytes", len(held), r, b)
			}
		}
		for _, tk := range held {
			tk.Leave()
		}
		if r, b := a.InFlight(); r != 0 || b != 0 {
			t.Fatalf("%d requests and %d bytes left over", r, b)
		}
	})
}

func TestAdmissionConcurrently(t *testing.T) {
	t.Parallel()
	a := edge.NewAdmission(edge.AdmissionConfig{Requests: 64, Bytes: 1 << 30, PrincipalShare: 1})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 2000 {
				tk, err := a.Enter("alice")
				if err != nil {
					t.Error(err)
					return
				}
				if err := tk.Reserve(100); err != nil {
					t.Error(err)
				}
				tk.Leave()
			}
		})
	}
	wg.Wait()
	if r, b := a.InFlight(); r != 0 || b != 0 {
		t.Errorf("%d requests and %d bytes left over", r, b)
	}
}
