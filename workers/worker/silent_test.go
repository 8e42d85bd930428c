package worker_test

import (
	"fmt"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/proto"

	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/worker"
)

// A caller who sets no deadline and then sends nothing more is not waited for any
// longer than MaxTimeout, and holds no place among those in work afterwards.
func TestSilentStreamsEnd(t *testing.T) {
	r := start(t, func(c *worker.Config) { c.MaxTimeout, c.MaxConcurrent = 100*time.Millisecond, 1 })
	conn := dialGRPC(t, r.GRPC)
	nodes := header(workerv1.Kind_KIND_NODES, 3, nil)
	for _, c := range []struct {
		method   string
		messages []proto.Message
	}{
		{workerv1.GraphSecurity_Filter_FullMethodName, nil},
		{workerv1.GraphSecurity_Filter_FullMethodName, []proto.Message{nodes}},
		{workerv1.GraphSecurity_Filter_FullMethodName, []proto.Message{nodes, chunk(0, oneNode)}},
		{workerv1.GraphSecurity_Decide_FullMethodName, nil},
	} {
		name := fmt.Sprintf("%s after %d messages", c.method, len(c.messages))
		s, err := conn.NewStream(withToken(t.Context(), "good"), &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, c.method)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range c.messages {
			if err := s.SendMsg(m); err != nil {
				t.Fatal(err)
			}
		}
		ended := make(chan error, 1)
		go func() {
			err := s.RecvMsg(new(workerv1.FilterResponse))
			if err == nil { // the chunk's answer
				err = s.RecvMsg(new(workerv1.FilterResponse))
			}
			ended <- err
		}()
		select {
		case err := <-ended:
			if status.Code(err) != codes.DeadlineExceeded {
				t.Errorf("%s: %v", name, err)
			}
		case <-time.After(20 * time.Second):
			t.Fatalf("%s: it is held for ever", name)
		}
	}
	// With one place for all, the next one shows that none is held.
	out, err := stream(t, withToken(t.Context(), "good"), conn, header(workerv1.Kind_KIND_NODES, 1, nil), chunk(0, oneNode))
	if err != nil || len(out) != 1 {
		t.Errorf("%v %v", out, err)
	}
}
