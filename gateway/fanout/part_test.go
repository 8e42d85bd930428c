package fanout

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/gateway/verdict"
	"github.com/muster-fleet/muster/registry"
)

// endsWell is a call that the worker ends well at once, without a verdict. What
// the clocks say is the test's: on a real connection nobody can tell which of the
// worker's end and the gateway's own cancellation is read first.
type endsWell struct{ grpc.ClientStream }

func (endsWell) RecvMsg(any) error { return io.EOF }
func (endsWell) Header() (metadata.MD, error) {
	return metadata.Pairs("content-type", "application/grpc"), nil
}
func (endsWell) Trailer() metadata.MD { return nil }

// A worker that ends its stream well when its time, or the caller's, has passed is
// late. One that does so before has not answered what it was asked.
func TestPartThatEndsWellIsLateOrLies(t *testing.T) {
	past, ahead := time.Now().Add(-time.Second), time.Now().Add(time.Hour)
	for _, test := range []struct {
		name     string
		caller   time.Time
		due      time.Duration // 0: the worker is not waited for
		sent     int64         // -1: more is to come
		row      row
		early    bool
		verdicts bool
	}{
		{name: "in time, short", caller: ahead, due: time.Hour, sent: 3, row: rowViolation},
		{name: "in time, before the last element", caller: ahead, sent: -1, row: rowViolation},
		{name: "in time, complete", caller: ahead, due: time.Hour, verdicts: true},
		{name: "at the worker's deadline", caller: ahead, due: 1, sent: 3, row: rowTimeout},
		{name: "at the worker's deadline, before the last element", caller: ahead, due: 1, sent: -1, row: rowTimeout},
		{name: "at the caller's deadline", caller: past, due: time.Hour, sent: 3, row: rowTimeout, early: true},
		{name: "at the caller's deadline, before the last element", caller: past, sent: -1, row: rowTimeout, early: true},
		{name: "complete at the deadline", caller: ahead, due: 1, verdicts: true},
	} {
		t.Run(test.name, func(t *testing.T) {
			ctx, cancel := context.WithDeadline(t.Context(), test.caller)
			defer cancel()
			p := &part{
				l:    &lane{s: &Stream{ask: &ask{ctx: ctx}}, w: &registry.Worker{}},
				conn: &grpcConn{}, stream: endsWell{}, ctx: ctx, start: time.Now().Add(-time.Minute),
			}
			p.due.Store(int64(test.due))
			if test.due > 1 {
				p.due.Add(int64(time.Minute))
			}
			p.total.Store(test.sent)
			set, err := p.read()
			if test.verdicts {
				if err != nil || set.Len() != 0 {
					t.Fatal(set, err)
				}
				return
			}
			if err == nil {
				t.Fatal("no error")
			}
			if f := p.failure(err); f.row != test.row || f.early != test.early {
				t.Errorf("%+v", f)
			}
		})
	}
}

// The same for one call of Ask, over a stream and by one message: both end here.
func TestCallThatEndsWellIsLateOrLies(t *testing.T) {
	req := request(t, `"a":1`, `"a":2`)
	u := &unit{batch: req.Nodes, to: 2}
	g := &grpcConn{}
	for _, test := range []struct {
		deadline time.Time
		late     bool
	}{{time.Now().Add(time.Hour), false}, {time.Now().Add(-time.Second), true}} {
		ctx, cancel := context.WithDeadline(t.Context(), test.deadline)
		_, err := u.finish(ctx, verdict.NewCollector(2, false))
		cancel()
		err = g.failure(err, true)
		var f *failure
		if late := errors.Is(err, context.DeadlineExceeded); late != test.late {
			t.Errorf("late: %v", err)
		} else if !late && (!errors.As(err, &f) || f.row != rowViolation) {
			t.Errorf("a lie: %v", err)
		}
	}
}
