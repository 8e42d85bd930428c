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
	due    atomic.Int64 // since start, in nanoseconds: when the worker's time ends; 0 while it is not waited for
	extra  bool         // holds a permit of its own

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
	p.due.Store(int64(l.w.Settings.Timeout))
	header := &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: &workerv1.FilterHeader{Kind: kindOf(k)}}}
	p.stream, err = conn.cc.NewStream(l.s.ask.metadata(p.ctx, l.auth), &filterStream,
		workerv1.GraphSecurity_Filter_FullMethodName, grpc.ForceCodecV2(c.codec))
	if err != nil {
		fail := p.failure(err)
		p.cancel(nil)
		p.rest()
		c.release(conn)
		return nil, fail
	}
	p.rest()
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
	p.await()
	err := p.stream.SendMsg(m)
	p.rest()
	return err == nil
}

// await starts the worker's time, and rest ends it: between the two the worker is
// waited for.
func (p *part) await() {
	p.due.Store(int64(time.Since(p.start) + p.l.w.Settings.Timeout))
	p.timer.Reset(p.l.w.Settings.Timeout)
}

func (p *part) rest() {
	p.timer.Stop()
	p.due.Store(0)
}

// finish tells the worker that this call has no more elements, and starts its
// time.
func (p *part) finish() {
	p.total.Store(int64(p.count))
	p.await()
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
			set, err := p.ended(col)
			return set, p.late(err)
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

// ended returns the verdicts of a call that ended well.
func (p *part) ended(col *verdict.Collector) (*verdict.Set, error) {
	n := p.total.Load()
	if n < 0 {
		return nil, &verdict.Violation{Reason: verdict.ReasonShortReply, Detail: "the stream ended well before its last element was sent"}
	}
	return col.Finish(int(n))
}

// late returns the error of the deadline that has passed, the caller's or the
// worker's, in place of err: whoever gives up at its deadline has not lied, even
// where the call ends before the timer has cancelled it.
func (p *part) late(err error) error {
	if err == nil {
		return nil
	}
	if due := p.due.Load(); due > 0 && int64(time.Since(p.start)) >= due {
		err = errOwnTimeout
	}
	return late(p.ctx, err)
}

// failure turns how the call ended into its row.
func (p *part) failure(err error) *failure {
	a := p.l.s.ask
	told := errors.Is(err, errOwnTimeout)
	switch gone := a.ctx.Err(); {
	case gone == nil && (told || errors.Is(context.Cause(p.ctx), errOwnTimeout)):
		return &failure{row: rowTimeout, reason: "timeout", detail: "no answer in time", cause: err}
	case told:
		return p.over(gone)
	}
	err = p.conn.failure(err, answeredBy(p.stream))
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return p.over(err)
	}
	return asFailure(err)
}

// over is the row of a call whose request ended: by its caller's deadline, which
// says nothing about the worker, or otherwise.
func (p *part) over(err error) *failure {
	f := p.l.s.ask.ended(err)
	f.early = f.row == rowTimeout
	return f
}
