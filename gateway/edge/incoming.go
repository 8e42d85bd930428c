package edge

import (
	"context"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
)

// incoming reads the messages of a stream. gRPC's own wait for a message ends with
// the call alone, and a caller that sends nothing and sets no deadline would hold
// its place for ever; this one ends with a context as well.
type incoming struct {
	ask chan struct{}
	got chan received
}

type received struct {
	message *gatewayv1.FilterRequest
	err     error
}

// listen begins to read a stream, one message whenever one is wanted. The goroutine
// that it starts ends when close has been called and the stream's handler has
// returned.
func listen(ss gatewayv1.GraphSecurity_FilterServer) *incoming {
	in := &incoming{ask: make(chan struct{}), got: make(chan received, 1)}
	go func() {
		for range in.ask {
			m, err := ss.Recv()
			in.got <- received{m, err}
		}
	}()
	return in
}

// next returns the next message, io.EOF after the last, or what ended the wait. It
// may not be called again after an error.
func (in *incoming) next(ctx context.Context) (*gatewayv1.FilterRequest, error) {
	in.ask <- struct{}{}
	select {
	case r := <-in.got:
		if r.err != nil && ctx.Err() != nil {
			return nil, fault.From(ctx.Err())
		}
		return r.message, r.err
	case <-ctx.Done():
		return nil, fault.From(ctx.Err())
	}
}

// close says that no further message is wanted.
func (in *incoming) close() { close(in.ask) }
