package fanout

import (
	"context"
	"sync"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/workers/element"
	"github.com/muster-fleet/muster/workers/token"
)

// StreamCall is one request whose elements arrive bit by bit.
type StreamCall struct {
	// The fields are those of Call.
	Snapshot  *registry.Snapshot
	Workers   []*registry.Worker
	Principal *token.Principal
	Token     string
	Hops      int
	Standing  func(registry.WorkerID) registry.State
	// Type says what the stream holds.
	Type element.Type
	// MaxHeld bounds the bytes that are held while a REST worker is among the
	// workers; 0 means 256 MiB.
	MaxHeld int64
}

// Stream asks all workers about elements that arrive bit by bit. gRPC workers
// get them as they come, and nothing of them is kept. A REST worker's answer is
// matched against the elements themselves, so while there is one they are held,
// up to MaxHeld, and REST workers are asked when the last has come. A Stream is
// for one goroutine, and must be closed.
type Stream struct {
	ask    *ask
	cancel context.CancelCauseFunc
	lanes  []*lane
	rest   []int // indexes of REST workers
	held   *held
	n      [2]int // elements sent so far, by kind
	shapes *shapes
	typ    element.Type
	closed bool
}

// Open begins a stream. Nobody is called before the first element.
func (f *Fleet) Open(ctx context.Context, call *StreamCall) (*Stream, error) {
	if err := f.enter(); err != nil {
		return nil, fault.New(fault.Unavailable, "draining", "the gateway is shutting down").Wrap(err)
	}
	ctx, cancel := context.WithCancelCause(ctx)
	s := &Stream{cancel: cancel, typ: call.Type}
	s.ask = newAsk(ctx, f, &Call{
		Snapshot: call.Snapshot, Workers: call.Workers, Request: &element.Request{Type: call.Type},
		Principal: call.Principal, Token: call.Token, Hops: call.Hops, Standing: call.Standing,
	})
	for i, w := range call.Workers {
		if w.Transport == registry.TransportGRPC {
			s.lanes = append(s.lanes, newLane(s, i, w))
			if w.Settings.Mask && s.shapes == nil {
				s.shapes = newShapes()
			}
			continue
		}
		s.rest = append(s.rest, i)
		if s.held == nil {
			s.held = newHeld(call.Type, or(call.MaxHeld, 256<<20))
		}
	}
	return s, nil
}

// Send passes a chunk's elements on. All nodes of a graph come before its first
// relationship. The chunk may be released when Send has returned, but the data
// that it was made from must never change: connections may still send from it.
// An error is a *fault.Error and ends the stream.
func (s *Stream) Send(c *element.Chunk) error {
	b := c.Batch
	if b.Len() == 0 {
		return nil
	}
	s.n[b.Kind()-1] += b.Len()
	if s.held != nil {
		if err := s.held.add(b); err != nil {
			return err
		}
	}
	if s.shapes != nil {
		s.shapes.note(b)
	}
	var whole *chunk // encoded once for all who get it as it is
	for _, l := range s.lanes {
		if mostPerCall(l.w) == 0 && whole == nil {
			whole = encodeOwned(b, c.From, 0, b.Len())
		}
		l.send(c, whole)
	}
	return s.broken()
}

// broken returns the error once a required worker has failed, or the request
// has ended.
func (s *Stream) broken() error {
	if s.ask.ctx.Err() == nil {
		return nil
	}
	s.join()
	return s.failure()
}

func (s *Stream) failure() error {
	if _, err := s.ask.conclude(); err != nil {
		return err
	}
	return fault.From(context.Cause(s.ask.ctx))
}

// Finish says that there are no more elements, waits for every worker to end
// well, and returns one Outcome per worker, in their order.
func (s *Stream) Finish() ([]Outcome, error) {
	if s.n[0]+s.n[1] == 0 {
		return nil, nil
	}
	var req *element.Request
	if s.held != nil {
		var err error
		if req, err = s.held.request(); err != nil {
			return nil, err
		}
		defer req.Release()
		s.ask.nodes.batch, s.ask.rels.batch = req.Nodes, req.Relationships
	}
	for _, l := range s.lanes {
		l.finish()
	}
	var wg sync.WaitGroup
	for _, i := range s.rest {
		wg.Go(func() { s.ask.worker(s.cancel, i) })
	}
	wg.Wait()
	s.join()
	for _, l := range s.lanes {
		l.conclude()
	}
	return s.ask.conclude()
}

// join waits for everything that runs for the stream.
func (s *Stream) join() {
	for _, l := range s.lanes {
		l.join()
	}
}

// Close ends the stream; before Finish it cancels every call. It may be called
// more than once.
func (s *Stream) Close() {
	if s.closed {
		return
	}
	s.closed = true
	s.cancel(context.Canceled)
	for _, l := range s.lanes {
		l.close()
	}
	s.ask.fleet.asks.Done()
}

// has reports whether the stream's type holds a kind.
func (s *Stream) has(k element.Kind) bool {
	return s.typ == element.TypeGraph || s.typ == element.TypeNodes && k == element.Nodes ||
		s.typ == element.TypeRelationships && k == element.Relationships
}

// hidden hides all elements of a kind.
func (s *Stream) hidden(k element.Kind) *verdict.Set {
	if !s.has(k) {
		return nil
	}
	return verdict.NewHidden(s.n[k-1])
}

// encodeOwned makes the message of elements [from, to) of a chunk whose data
// nobody changes; ordinals count from base.
func encodeOwned(b *element.Batch, base, from, to int) *chunk {
	data, starts, ends := b.Columns(from, to, nil, nil)
	return newChunk(uint64(base), data, starts, ends, unchanging{})
}

// unchanging is the pin of data that is left to the collector.
type unchanging struct{}

func (unchanging) Retain()  {}
func (unchanging) Release() {}

// held is a body being put together for REST workers.
type held struct {
	typ  element.Type
	max  int64
	body []byte
	kind element.Kind // that is being written
}

func newHeld(t element.Type, limit int64) *held {
	h := &held{typ: t, max: limit}
	switch t {
	case element.TypeNodes:
		h.body = append(h.body, openNodes...)
	case element.TypeRelationships:
		h.body = append(h.body, openRels...)
	default:
		h.body = append(h.body, `{"parameters":{"type":"graph"},"data":{"nodes":[`...)
		h.kind = element.Nodes
	}
	return h
}

func (h *held) add(b *element.Batch) error {
	if h.kind == element.Nodes && b.Kind() == element.Relationships {
		h.body = append(h.body, `],"relationships":[`...)
		h.kind = element.Relationships
	}
	for i := range b.Len() {
		raw := b.Raw(i)
		if int64(len(h.body)+len(raw)) > h.max {
			return fault.New(fault.TooLarge, "too_large",
				"the elements have more than %d bytes, which is the most that can be held for workers over REST; split the call", h.max)
		}
		if h.body[len(h.body)-1] != '[' {
			h.body = append(h.body, ',')
		}
		h.body = append(h.body, raw...)
	}
	return nil
}

// request reads the body, which holds every element once.
func (h *held) request() (*element.Request, error) {
	switch h.kind {
	case element.Nodes:
		h.body = append(h.body, `],"relationships":[]}}`...)
	case element.Relationships:
		h.body = append(h.body, `]}}`...)
	default:
		h.body = append(h.body, closeBody...)
	}
	return element.ParseRequest(h.body, element.Options{})
}
