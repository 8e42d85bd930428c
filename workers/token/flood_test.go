package token_test

import (
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/workers/token"
)

func TestAFloodOfMadeUpKidsHoldsABoundedNumberOfCallers(t *testing.T) {
	const callers, bound = 1100, 1024
	known := signer{"k", "EdDSA", edKey()}
	foreign := signer{"made-up", "EdDSA", edKey()}
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, nil, known)
		synctest.Wait()
		hold := make(chan struct{})
		i.set(func(i *issuer) { i.hold = hold })
		var refused, turnedAway atomic.Int64
		var all sync.WaitGroup
		for n := range callers {
			raw := i.token(foreign, map[string]any{"jti": fmt.Sprint(n)})
			all.Go(func() {
				switch _, err := v.Verify(t.Context(), raw); {
				case fault.Is(err, token.CodeUnavailable):
					turnedAway.Add(1)
				case fault.Is(err, token.CodeInvalid):
					refused.Add(1)
				default:
					t.Errorf("%v", err)
				}
			})
		}
		synctest.Wait()
		if away, done := turnedAway.Load(), refused.Load(); away != callers-bound || done != 0 {
			t.Errorf("%d turned away and %d refused while the issuer hangs", away, done)
		}
		if _, err := v.Verify(t.Context(), i.token(known, nil)); err != nil {
			t.Errorf("a token of a known key: %v", err)
		}
		close(hold)
		all.Wait()
		if n := refused.Load(); n != bound {
			t.Errorf("%d were refused in the end", n)
		}
	})
}

func TestARotationDuringAFloodCostsNoRequest(t *testing.T) {
	old, fresh := rs256("old"), signer{"fresh", "RS256", rsaKeys[1]()}
	foreign := signer{alg: "EdDSA", private: edKey()}
	synctest.Test(t, func(t *testing.T) {
		v, i, _ := bubbled(t, nil, old)
		synctest.Wait()
		var all sync.WaitGroup
		for n := range 50 {
			all.Go(func() {
				time.Sleep(time.Duration(n) * 100 * time.Millisecond)
				f := foreign
				f.kid = fmt.Sprint("made-up-", n)
				if _, err := v.Verify(t.Context(), i.token(f, nil)); !fault.Is(err, token.CodeInvalid) {
					t.Errorf("%d: %v", n, err)
				}
			})
		}
		time.Sleep(2550 * time.Millisecond)
		i.show(old, fresh)
		begun := time.Now()
		if _, err := v.Verify(t.Context(), i.token(fresh, nil)); err != nil {
			t.Errorf("the first token of the new key: %v", err)
		}
		if waited := time.Since(begun); waited > time.Second {
			t.Errorf("it waited %s by the bubble's clock; the next fetch was due within a second", waited)
		}
		all.Wait()
	})
}
