package fanout

import (
	"context"
	"errors"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/gateway/verdict"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

// maxDecide is up to how many bytes elements are asked about with Decide: as many
// as go out at once under HTTP/2's first window. Of larger ones a call costs the
// same either way (BenchmarkAsk), and a stream lets the worker begin earlier.
const maxDecide = 64<<10 - 1

// errNoDecide says that the peer has no Decide, so that nothing was judged.
var errNoDecide = errors.New("the worker does not serve Decide")

// decide asks about elements of one chunk with one message.
func (c *grpcCarrier) decide(ctx context.Context, conn *grpcConn, u *unit, e *encoded) (*verdict.Set, error) {
	var header, trailer metadata.MD
	resp := new(workerv1.DecideResponse)
	err := conn.cc.Invoke(u.ask.metadata(ctx, u.auth), workerv1.GraphSecurity_Decide_FullMethodName,
		question{kind: kindOf(u.batch.Kind()), chunk: e.chunks[0]}, resp,
		grpc.ForceCodecV2(c.codec), grpc.MaxCallRecvMsgSize(int(replyFactor*e.bytes+replySpare)),
		grpc.Header(&header), grpc.Trailer(&trailer))
	if err != nil {
		answered := len(header)+len(trailer) > 0
		if answered && status.Code(err) == codes.Unimplemented {
			return nil, errNoDecide
		}
		return nil, conn.failure(err, answered)
	}
	col := verdict.NewCollector(u.to-u.from, u.worker.Settings.Mask)
	tidy(resp.GetChunk())
	if err := col.Add(resp.GetChunk()); err != nil {
		return nil, conn.failure(err, true)
	}
	set, err := u.finish(ctx, col)
	if err != nil {
		return nil, conn.failure(err, true)
	}
	return set, nil
}

// lifetime is what work that outlives a request hangs on; it is the Fleet.
type lifetime interface {
	beside(timeout time.Duration) (ctx context.Context, done func(), err error)
}

const (
	// learnWithin is how long a worker may take to tell what it can.
	learnWithin = 5 * time.Second
	// maxDescription is the most that it may say, in bytes.
	maxDescription = 64 << 10
)

// learn asks the worker at the end of a new connection what it can, beside the
// calls that the connection was made for: they go over streams meanwhile, which
// every worker serves. No token goes with it. What a worker does not say leaves
// what was known: one that cannot Decide any more answers UNIMPLEMENTED.
func (c *grpcCarrier) learn(g *grpcConn) {
	ctx, done, err := c.life.beside(learnWithin)
	if err != nil {
		return // the fleet is closed
	}
	defer done()
	d, err := workerv1.NewGraphSecurityClient(g.cc).Describe(ctx, &workerv1.DescribeRequest{}, grpc.MaxCallRecvMsgSize(maxDescription))
	if err != nil {
		return // not a failure of a call; the probes tell of a worker that cannot describe itself
	}
	can := d.GetCapabilities()
	c.decides.Store(can.GetProtocol() == protocol && can.GetDecide())
}

// protocol is the revision of muster.worker.v1 that is spoken.
const protocol = 1
