package fanout

import (
	"context"
	"errors"
	"io"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/muster-fleet/muster/gateway/verdict"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// part is one call of a lane.
type part struct {
	l      *lane
	kind   element.Kind
	conn   *grpcConn
	stream grpc.ClientStream
	ctx    context.Context //nolint:containedctx // of the call
	cancel context.CancelCauseFunc
	timer  *time.Timer
	start  time.Time
	extra  bool // holds a permit of its own

	count int          // elements sent
	total atomic.Int64 // of them, once all are sent; -1 before
	bytes atomic.Int64 // sent
	done  chan struct{}
	set   *verdict.Set // after done
}

func (l *lane) newPart(k element.Kind, extra bool) (*part, *failure) {
	c, ok := l.leg.carrier.(*grpcCarrier)
	if !ok {
		return nil, asFailure(errors.New("a worker over gRPC without a carrier for it"))
	}
	p := &part{l: l, kind: k, extra: extra, start: time.Now(), done: make(chan struct{})}
	p.total.Store(-1)
	conn, err := c.acquire()
	if err != nil {
		return nil, dialFailure(err)
	}
	p.conn = conn
	p.ctx, p.cancel = context.WithCancelCause(l.ctx)
	p.timer = time.AfterFunc(l.w.Settings.Timeout, func() { p.cancel(errOwnTimeout) })
	header := &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: &workerv1.FilterHeader{Kind: kindOf(k)}}}
	p.stream, err = conn.cc.NewStream(l.s.ask.metadata(p.ctx, l.auth), &filterStream,
		workerv1.GraphSecurity_Filter_FullMethodName, grpc.ForceCodecV2(c.codec))
	if err != nil {
		fail := p.failure(err)
		p.cancel(nil)
		p.timer.Stop()
		c.release(conn)
		return nil, fail
	}
	p.timer.Stop()
	l.leg.inflight.Inc()
	go p.collect(c)
	p.sendMsg(header)
	return p, nil
}

// send writes one chunk; false means that the call has ended.
func (p *part) send(ch *chunk, n int) bool {
	p.bytes.Add(int64(len(ch.data)))
	p.count += n
	return p.sendMsg(ch)
}

func (p *part) sendMsg(m any) bool {
	p.timer.Reset(p.l.w.Settings.Timeout)
	err := p.stream.SendMsg(m)
	p.timer.Stop()
	return err == nil
}

// finish tells the worker that this call has no more elements, and starts its
// time.
func (p *part) finish() {
	p.total.Store(int64(p.count))
	p.timer.Reset(p.l.w.Settings.Timeout)
	// It fails only together with the stream.
	_ = p.stream.CloseSend()
}

// collect reads verdicts until the call has ended, on a goroutine of its own.
func (p *part) collect(c *grpcCarrier) {
	defer close(p.done)
	set, err := p.read()
	p.timer.Stop()
	if err != nil {
		p.l.fail(p.failure(err))
	}
	p.set = set
	p.cancel(nil)
	c.release(p.conn)
	p.l.leg.inflight.Dec()
	p.l.leg.seconds.Observe(time.Since(p.start).Seconds())
	if p.extra {
		p.l.leg.bulkhead.ReleasePermit()
	}
}

func (p *part) read() (*verdict.Set, error) {
	col := verdict.NewCollector(-1, p.l.w.Settings.Mask)
	var got int64
	for {
		resp := new(workerv1.FilterResponse)
		err := p.stream.RecvMsg(resp)
		if errors.Is(err, io.EOF) {
			n := p.total.Load()
			if n < 0 {
				return nil, &verdict.Violation{Reason: verdict.ReasonShortReply, Detail: "the stream ended well before its last element was sent"}
			}
			return col.Finish(int(n))
		}
		if err != nil {
			return nil, err
		}
		if got += int64(proto.Size(resp)); got > replyFactor*p.bytes.Load()+replySpare {
			return nil, &verdict.Violation{Reason: verdict.ReasonTooLarge, Detail: "more than 4 times the request and 1 MiB"}
		}
		tidy(resp.GetChunk())
		if err := col.Add(resp.GetChunk()); err != nil {
			return nil, err
		}
	}
}

// failure turns how the call ended into its row.
func (p *part) failure(err error) *failure {
	a := p.l.s.ask
	if errors.Is(context.Cause(p.ctx), errOwnTimeout) && a.ctx.Err() == nil {
		return &failure{row: rowTimeout, reason: "timeout", detail: "no answer in time", cause: err}
	}
	err = p.conn.failure(err, p.stream)
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		f := a.ended(err)
		f.early = f.row == rowTimeout
		return f
	}
	return asFailure(err)
}
