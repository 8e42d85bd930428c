package worker_test

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"testing"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// A million elements pass through a worker while it holds a few chunks of them:
// nothing of a chunk is kept once it is answered.
func TestStreamIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("a million elements")
	}
	const size = 2000
	n := 1_000_000
	if underRace {
		n = 100_000 // which the detector makes as slow as a million
	}
	r := start(t, nil)
	s, err := workerv1.NewGraphSecurityClient(dialGRPC(t, r.GRPC)).Filter(withToken(t.Context(), "good"))
	if err != nil {
		t.Fatal(err)
	}
	judged := make(chan error, 1)
	go func() { judged <- readAll(s, n) }()
	if err := s.Send(header(workerv1.Kind_KIND_NODES, uint64(n), nil)); err != nil {
		t.Fatal(err)
	}
	before := heap()
	var peak, sent uint64
	part := make([]string, size)
	for base := 0; base < n; base += size {
		for i := range part {
			part[i] = fmt.Sprintf(`{"elementId":"%d","labels":["L"],"properties":{"p":"%0190d"}}`, base+i, i)
			sent += uint64(len(part[i]))
		}
		if err := s.Send(chunk(uint64(base), part...)); err != nil {
			t.Fatal(err, <-judged)
		}
		if base%(size*25) == 0 {
			peak = max(peak, heap())
		}
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	if err := <-judged; err != nil {
		t.Fatal(err)
	}
	// The caller's side is in this process as well, with a chunk or two.
	const most = 32 << 20
	if peak > before+most {
		t.Errorf("of %d MiB of elements the heap held %d MiB", sent>>20, (peak-before)>>20)
	}
}

func readAll(s workerv1.GraphSecurity_FilterClient, n int) error {
	next := uint64(0)
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			if next != uint64(n) {
				return fmt.Errorf("%d elements were judged", next)
			}
			return nil
		}
		if err != nil {
			return err
		}
		if m.GetChunk().GetBase() != next {
			return fmt.Errorf("a chunk begins at %d; %d was due", m.GetChunk().GetBase(), next)
		}
		next += m.GetChunk().GetCount()
	}
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
