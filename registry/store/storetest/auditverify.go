package storetest

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// testOneVerification: a second one is refused while the first has not ended.
func testOneVerification(t *testing.T, b Backend) {
	svc := service(t, b.New(t), newFleet())
	var second error
	_, err := svc.VerifyAudit(t.Context(), nil, func(done, all int64) {
		if done > all {
			t.Errorf("%d of %d", done, all)
		}
		_, second = svc.VerifyAudit(t.Context(), nil, nil)
	})
	if err != nil || !fault.Is(second, "verify_running") {
		t.Errorf("%v, %v", err, second)
	}
	if _, err := svc.VerifyAudit(t.Context(), nil, nil); err != nil {
		t.Errorf("after the first: %v", err)
	}
}

// testVerifyMeanwhile: rows, heads and retention do not confuse a verification.
func testVerifyMeanwhile(t *testing.T, b Backend) {
	st := b.chained(t, b.Place(t), chainKeys(t, 1))
	appendRows(t, st, 40, noon)
	seal(t, st, noon)
	appendRows(t, st, 400, noon)
	ctx, stop := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	wg.Go(func() {
		for ctx.Err() == nil {
			appendRows(t, st, 50, noon)
		}
	})
	defer func() {
		stop()
		wg.Wait()
		closed(t, st)
	}()
	for range 5 {
		if r := verified(t, st); !r.OK || r.Looked.First != 1 {
			t.Fatalf("%s", shortly(r))
		}
	}
	pruned := false
	r, err := registry.VerifyAuditLog(t.Context(), st, nil, func(int64, int64) {
		if pruned {
			return
		}
		pruned = true
		write(t, st, func(ctx context.Context, tx registry.Tx) error {
			end, rows, ok, err := tx.DropAudit(ctx, noon.Add(time.Hour), 200)
			if err != nil || !ok {
				return fmt.Errorf("%v, %w", ok, err)
			}
			e := entry(1)
			e.Action = audit.ActionPruned
			e.After = fmt.Appendf(nil, `{"through":%d,"mac":"%x","rows":%d}`, end.Number, end.MAC, rows)
			return tx.Audit(ctx, e)
		})
	})
	if err != nil || !r.OK || r.Pruned != 40 {
		t.Errorf("%+v, %v", r, err)
	}
}
