package fanout_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/muster-fleet/muster/gateway/fanout"
	"github.com/muster-fleet/muster/gateway/fanout/faulttest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
)

func streamCall(typ element.Type, workers ...*registry.Worker) *fanout.StreamCall {
	return &fanout.StreamCall{
		Snapshot: faulttest.Snapshot(workers...), Workers: workers, Type: typ,
		Principal: faulttest.Alice, Token: "alice-token", Hops: 2,
	}
}

// feed sends elements in chunks of size and reports the first error.
func feed(s *fanout.Stream, in *element.Stream, k element.Kind, size int, elements []string) error {
	for base := 0; base < len(elements); base += size {
		part := elements[base:min(base+size, len(elements))]
		data, starts, ends := columns(part)
		c, err := in.Add(k, uint64(base), data, starts, ends)
		if err != nil {
			return err
		}
		err = s.Send(c)
		c.Release()
		if err != nil {
			return err
		}
	}
	return nil
}

func columns(elements []string) (data []byte, starts, ends []uint32) {
	for i, e := range elements {
		if i > 0 {
			data = append(data, ", "...)
		}
		starts = append(starts, uint32(len(data)))
		data = append(data, e...)
		ends = append(ends, uint32(len(data)))
	}
	return data, starts, ends
}

func nodes(n int) []string {
	out := make([]string, n)
	for i := range out {
		out[i] = faulttest.Node(fmt.Sprintf("n%d", i))
	}
	return out
}

func TestStreamAgreesWithAsk(t *testing.T) {
	decide := func(_, id string) faulttest.Verdict {
		switch id[len(id)-1] {
		case '1':
			return faulttest.Verdict{Hide: true}
		case '2':
			return faulttest.Verdict{Strip: []string{"secret"}}
		case '3':
			return faulttest.Verdict{Mask: map[string]json.RawMessage{"secret": json.RawMessage(`0`)}}
		}
		return faulttest.Verdict{}
	}
	rest, _ := faulttest.REST(t, decide, false)
	grpc, calls := faulttest.GRPC(t, decide)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	elements := nodes(2500)
	rels := make([]string, 500)
	for i := range rels {
		rels[i] = faulttest.Relationship(fmt.Sprintf("r%d", i), fmt.Sprintf("n%d", i), fmt.Sprintf("n%d", 2*i))
	}
	for _, split := range []int{0, 300} {
		for _, limit := range []int{1, 64} {
			one, two := faulttest.Worker(1, rest), faulttest.Worker(2, grpc)
			for _, w := range []*registry.Worker{one, two} {
				w.Settings.Mask, w.Settings.MaxElementsPerCall, w.Settings.MaxConcurrent = true, split, limit
			}
			s, err := f.Open(within(t, 60*time.Second), streamCall(element.TypeGraph, one, two))
			if err != nil {
				t.Fatal(err)
			}
			in := element.NewStream(element.TypeGraph, element.Options{})
			if err := errors.Join(feed(s, in, element.Nodes, 170, elements), feed(s, in, element.Relationships, 170, rels)); err != nil {
				t.Fatal(err)
			}
			out, err := s.Finish()
			s.Close()
			if err != nil || len(out) != 2 {
				t.Fatal(out, err)
			}
			for _, o := range out {
				check := func(id string, visible bool, strips, masks int) {
					if v := decide("", id); visible == v.Hide || strips != len(v.Strip) || masks != len(v.Mask) {
						t.Fatalf("split %d limit %d %s: %s is judged %v %d %d", split, limit, o.Worker.Transport, id, visible, strips, masks)
					}
				}
				for i := range elements {
					check(fmt.Sprintf("n%d", i), o.Nodes.Visible(i), len(o.Nodes.StripsOf(i)), len(o.Nodes.MasksOf(i)))
				}
				for i := range rels {
					check(fmt.Sprintf("r%d", i), o.Relationships.Visible(i), len(o.Relationships.StripsOf(i)), len(o.Relationships.MasksOf(i)))
				}
			}
		}
	}
	for id, n := range calls.Elements() {
		if n != 4 {
			t.Fatalf("%s was sent %d times in 4 streams", id, n)
		}
	}
}

// Every row holds for the streaming form too, over either transport.
func TestStreamRows(t *testing.T) {
	for _, b := range append(append([]bad{
		{"ends early and well", func(t *testing.T) string {
			return faulttest.GRPCWith(t, func(s faulttest.Stream) error { return nil })
		}, 502, "worker_violation", "short_reply"},
	}, grpcRows...), restRows[0], restRows[16], restRows[29]) {
		t.Run(b.name, func(t *testing.T) {
			t.Parallel()
			if b.name == "short" || b.name == "long" || strings.HasPrefix(b.name, "foreign base") {
				b.reason = "" // which of them it is told first depends on what has been sent
			}
			f, reg := faulttest.Fleet(t, fanout.Config{}, nil)
			for _, hide := range []bool{false, true} {
				w := b.worker(t)
				if hide {
					w.Settings.OnFailure = registry.HideUnjudged
				}
				s, err := f.Open(within(t, 40*time.Second), streamCall(element.TypeNodes, w))
				if err != nil {
					t.Fatal(err)
				}
				err = feed(s, element.NewStream(element.TypeNodes, element.Options{}), element.Nodes, 2, nodes(3))
				var out []fanout.Outcome
				if err == nil {
					out, err = s.Finish()
				}
				s.Close()
				if hide {
					if err != nil || len(out) != 1 || out[0].Err == nil || out[0].Err.Code != b.code || out[0].Nodes.Len() != 3 || out[0].Nodes.Any() {
						t.Errorf("with hide: %+v %v", out, err)
					}
					continue
				}
				if e := faultOf(t, err); e.Code != b.code || e.Kind.HTTPStatus() != b.status || e.Worker == nil {
					t.Errorf("%v", e)
				}
				if counter(t, reg, "muster_worker_failures_total", b.reason) == 0 {
					t.Errorf("no failure with reason %s", b.reason)
				}
			}
		})
	}
}

// A million elements pass while the gateway holds bits and digests of them: what
// it keeps of an element does not grow with the element.
func TestStreamIsBounded(t *testing.T) {
	if testing.Short() {
		t.Skip("a million elements")
	}
	url, _ := countingGRPC(t)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, url)
	s, err := f.Open(within(t, 5*time.Minute), streamCall(element.TypeNodes, w))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := element.NewStream(element.TypeNodes, element.Options{})
	const size = 2000
	n := 1_000_000
	if underRace {
		n = 100_000 // which the detector makes as slow as a million
	}
	_, before := measure(t)
	peak, sent := before, 0
	look := func() {
		_, now := measure(t)
		peak = max(peak, now)
	}
	part := make([]string, size)
	for base := 0; base < n; base += size {
		for i := range part {
			part[i] = fmt.Sprintf(`{"elementId":"%d","labels":["L"],"properties":{"p":"%0200d"}}`, base+i, i)
			sent += len(part[i])
		}
		data, starts, ends := columns(part)
		c, err := in.Add(element.Nodes, uint64(base), data, starts, ends)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(c); err != nil {
			t.Fatal(err)
		}
		c.Release()
		if base%(size*50) == 0 {
			look()
		}
	}
	look() // with the digests of all
	out, err := s.Finish()
	if err != nil || out[0].Nodes.CountVisible() != n {
		t.Fatal(out, err)
	}
	look()
	runtime.KeepAlive(in)
	// An element's digest of 16 bytes, that of its bytes, its place in the table and
	// a bit, in memory that grows by a share; and a few chunks under way, at the
	// worker's end as well, which is in this process.
	const each, underway = 80, 16 << 20
	if held := peak - before; held > uint64(each*n+underway) {
		t.Errorf("of %d MiB of elements the heap held %d MiB", sent>>20, held>>20)
	} else {
		t.Logf("of %d MiB of elements the heap held %d MiB", sent>>20, held>>20)
	}
}

// countingGRPC shows everything without looking at it.
func countingGRPC(t testing.TB) (string, *faulttest.Calls) {
	return faulttest.GRPCWith(t, judgeAll), nil
}

func judgeAll(s faulttest.Stream) error {
	if _, err := s.Recv(); err != nil {
		return err
	}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := s.Send(showAll(m.GetChunk())); err != nil {
			return err
		}
	}
}

func TestSlowCallerCostsNoWorkerItsTime(t *testing.T) {
	url, _ := faulttest.GRPC(t, odd)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	w := faulttest.Worker(1, url)
	w.Settings.Timeout = 150 * time.Millisecond
	s, err := f.Open(within(t, 40*time.Second), streamCall(element.TypeNodes, w))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	in := element.NewStream(element.TypeNodes, element.Options{})
	for i, e := range nodes(4) {
		data, starts, ends := columns([]string{e})
		c, err := in.Add(element.Nodes, uint64(i), data, starts, ends)
		if err != nil {
			t.Fatal(err)
		}
		if err := s.Send(c); err != nil {
			t.Fatal(err)
		}
		time.Sleep(100 * time.Millisecond) // the caller is the slow one here
	}
	if out, err := s.Finish(); err != nil || out[0].Nodes.CountVisible() != 2 {
		t.Fatal(out, err)
	}
}

func TestStreamEndsWithItsCaller(t *testing.T) {
	url := afterAll(func(s faulttest.Stream, _ uint64) error { <-s.Context().Done(); return nil }).serve(t)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	ctx, cancel := context.WithCancel(t.Context())
	s, err := f.Open(ctx, streamCall(element.TypeNodes, faulttest.Worker(1, url)))
	if err != nil {
		t.Fatal(err)
	}
	if err := feed(s, element.NewStream(element.TypeNodes, element.Options{}), element.Nodes, 1, nodes(3)); err != nil {
		t.Fatal(err)
	}
	time.AfterFunc(50*time.Millisecond, cancel)
	if _, err := s.Finish(); !fault.Is(err, "cancelled") {
		t.Fatalf("%v", err)
	}
	s.Close()
	s.Close()

	// Closed half way: nothing is left behind, which goleak checks.
	s, err = f.Open(t.Context(), streamCall(element.TypeNodes, faulttest.Worker(1, url)))
	if err != nil {
		t.Fatal(err)
	}
	if err := feed(s, element.NewStream(element.TypeNodes, element.Options{}), element.Nodes, 1, nodes(3)); err != nil {
		t.Fatal(err)
	}
	s.Close()
}

func TestHeldElementsAreBounded(t *testing.T) {
	url, _ := faulttest.REST(t, odd, false)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	call := streamCall(element.TypeNodes, faulttest.Worker(1, url))
	call.MaxHeld = 1000
	s, err := f.Open(within(t, 5*time.Second), call)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	err = feed(s, element.NewStream(element.TypeNodes, element.Options{}), element.Nodes, 1, nodes(100))
	if e := faultOf(t, err); e.Code != "too_large" {
		t.Fatal(e)
	}
}

func TestEmptyStreamCallsNobody(t *testing.T) {
	url, calls := faulttest.GRPC(t, odd)
	f, _ := faulttest.Fleet(t, fanout.Config{}, nil)
	s, err := f.Open(within(t, 5*time.Second), streamCall(element.TypeGraph, faulttest.Worker(1, url)))
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if out, err := s.Finish(); err != nil || out != nil || len(calls.Headers()) != 0 {
		t.Fatal(out, err, calls.Headers())
	}
}
