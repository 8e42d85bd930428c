package edge_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/muster-fleet/muster/gateway/edge"
	"github.com/muster-fleet/muster/proto/fault"
)

func TestDrainGoesThroughItsPhases(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := edge.NewDrain()
		begin(t, d)
		start := time.Now()
		left := make(chan int)
		go func() { left <- d.Shut(t.Context(), 3*time.Second, 25*time.Second) }()

		synctest.Wait()
		if d.Phase() != edge.Leaving {
			t.Fatalf("phase %v right after the signal, want leaving", d.Phase())
		}
		begin(t, d) // the grace time still serves
		time.Sleep(3*time.Second + time.Millisecond)
		if err := d.Begin(); !fault.Is(err, "draining") || fault.From(err).Kind != fault.Unavailable {
			t.Fatalf("after the grace time: %v, want draining", err)
		}
		d.End()
		synctest.Wait()
		select {
		case <-left:
			t.Fatal("ended with a request in flight")
		default:
		}
		d.End()
		if n := <-left; n != 0 {
			t.Errorf("%d requests left", n)
		}
		if took := time.Since(start); took > 4*time.Second {
			t.Errorf("took %v although nothing was in flight", took)
		}
	})
}

func TestDrainGivesUpAfterItsTimeout(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := edge.NewDrain()
		begin(t, d)
		start := time.Now()
		if n := d.Shut(t.Context(), 3*time.Second, 25*time.Second); n != 1 {
			t.Errorf("%d requests left, want 1", n)
		}
		if took := time.Since(start); took != 28*time.Second {
			t.Errorf("gave up after %v, want 28s", took)
		}
	})
}

func TestDrainEndsAtOnceWithItsContext(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		d := edge.NewDrain()
		begin(t, d)
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // the second signal
		start := time.Now()
		d.Shut(ctx, 3*time.Second, 25*time.Second)
		if took := time.Since(start); took != 0 {
			t.Errorf("took %v after the second signal", took)
		}
	})
}

func begin(t *testing.T, d *edge.Drain) {
	t.Helper()
	if err := d.Begin(); err != nil {
		t.Fatal(err)
	}
}
