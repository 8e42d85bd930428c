package client_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/client"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// gateway answers as a test says, after it has read everything.
type gateway struct {
	gatewayv1.UnimplementedGraphSecurityServer
	answer func(got *received, send func(*gatewayv1.FilterResponse) error) error
}

// received is what reached the gateway.
type received struct {
	token  string
	header *gatewayv1.FilterHeader
	kinds  map[workerv1.Kind][]string
	chunks int
}

func (g *gateway) Filter(s gatewayv1.GraphSecurity_FilterServer) error {
	md, _ := metadata.FromIncomingContext(s.Context())
	got := &received{token: strings.Join(md.Get("authorization"), "|"), kinds: map[workerv1.Kind][]string{}}
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return g.answer(got, s.Send)
		}
		if err != nil {
			return err
		}
		if m.GetHeader() != nil {
			got.header = m.GetHeader()
			continue
		}
		got.chunks++
		c := m.GetChunk().GetElements()
		if int(c.GetBase()) != len(got.kinds[m.GetChunk().GetKind()]) {
			return fault.New(fault.Invalid, "invalid_request", "a gap at %d", c.GetBase())
		}
		for i := range c.GetEnds() {
			got.kinds[m.GetChunk().GetKind()] = append(got.kinds[m.GetChunk().GetKind()],
				string(c.GetData()[c.GetStarts()[i]:c.GetEnds()[i]]))
		}
	}
}

func newClient(t *testing.T, answer func(*received, func(*gatewayv1.FilterResponse) error) error) *client.Client {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer()
	gatewayv1.RegisterGraphSecurityServer(s, &gateway{answer: answer})
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = s.Serve(l)
	}()
	c, err := client.New(client.Config{
		Target: "grpc://" + l.Addr().String(),
		Token:  func(context.Context) (string, error) { return "alice-token", nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
		s.Stop()
		<-done
	})
	return c
}

func summary() *gatewayv1.FilterResponse {
	return &gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Summary{Summary: &gatewayv1.FilterSummary{
		Decision: "d-1", Revision: 7, Complete: true,
	}}}
}

func verdicts(kind workerv1.Kind, c *workerv1.VerdictChunk) *gatewayv1.FilterResponse {
	return &gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Chunk{Chunk: &gatewayv1.VerdictChunk{Kind: kind, Verdicts: c}}}
}

func sendAll(send func(*gatewayv1.FilterResponse) error, list ...*gatewayv1.FilterResponse) error {
	for _, m := range list {
		if err := send(m); err != nil {
			return err
		}
	}
	return nil
}

func node(i int) json.RawMessage {
	return json.RawMessage(fmt.Sprintf(`{ "elementId":"%d","labels":["A"],"properties":{ "ssn": "x" , "n":%d.50 } }`, i, i))
}

func texts(list []json.RawMessage) string {
	out := make([]string, len(list))
	for i, e := range list {
		out[i] = string(e)
	}
	return strings.Join(out, "\n")
}

func TestFilterAppliesVerdicts(t *testing.T) {
	c := newClient(t, func(got *received, send func(*gatewayv1.FilterResponse) error) error {
		if got.token != "Bearer alice-token" || got.header.GetBatch() != gatewayv1.Batch_BATCH_GRAPH || !got.header.GetExplain() {
			return fault.New(fault.Invalid, "invalid_request", "token or header")
		}
		return sendAll(send, summary(),
			verdicts(workerv1.Kind_KIND_NODES, &workerv1.VerdictChunk{Count: 2, Visible: []byte{0b01}}),
			verdicts(workerv1.Kind_KIND_NODES, &workerv1.VerdictChunk{
				Base: 2, Count: 2, Visible: []byte{0b11},
				Strips: []*workerv1.Strip{{Ordinal: 2, Properties: []string{"ssn"}}, {Ordinal: 3, Properties: []string{"n"}}},
				Masks:  []*workerv1.Mask{{Ordinal: 3, Property: "ssn", Value: []byte(`"***"`)}},
			}),
			verdicts(workerv1.Kind_KIND_RELATIONSHIPS, &workerv1.VerdictChunk{Count: 1, Visible: []byte{1}}),
			&gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Explanation{Explanation: &gatewayv1.Explanation{Ordinal: 1}}})
	})
	rel := json.RawMessage(`{"elementId":"r","type":"T","startNodeElementId":"0","endNodeElementId":"2","properties":{}}`)
	r, err := c.Filter(t.Context(), client.Elements{
		Nodes: []json.RawMessage{node(0), node(1), node(2), node(3)}, Relationships: []json.RawMessage{rel}, Graph: true, Explain: true,
	})
	if err != nil {
		t.Fatal(err)
	}
	nodes, err := r.VisibleNodes()
	if err != nil {
		t.Fatal(err)
	}
	want := string(node(0)) + "\n" + `{ "elementId":"2","labels":["A"],"properties":{"n":2.50} }` + "\n" +
		`{ "elementId":"3","labels":["A"],"properties":{"ssn":"***"} }`
	if texts(nodes) != want {
		t.Errorf("got %s\nwant %s", texts(nodes), want)
	}
	rels, err := r.VisibleRelationships()
	if err != nil || texts(rels) != string(rel) {
		t.Errorf("%v %s", err, texts(rels))
	}
	if r.Decision != "d-1" || r.Revision != 7 || !r.Complete || len(r.Explanations) != 1 {
		t.Errorf("%+v", r)
	}
}

// Whatever is answered before a failure is not used.
func TestNothingCountsBeforeTheEnd(t *testing.T) {
	c := newClient(t, func(_ *received, send func(*gatewayv1.FilterResponse) error) error {
		if err := sendAll(send, summary(), verdicts(workerv1.Kind_KIND_NODES, &workerv1.VerdictChunk{Count: 1, Visible: []byte{1}})); err != nil {
			return err
		}
		return fault.New(fault.Timeout, "worker_timeout", "too slow").By("u", "clearance")
	})
	r, err := c.Filter(t.Context(), client.Elements{Nodes: []json.RawMessage{node(1)}})
	var f *fault.Error
	if r != nil || !errors.As(err, &f) || f.Code != "worker_timeout" || f.Worker == nil || f.Worker.Name != "clearance" {
		t.Errorf("%v %v", r, err)
	}
}

func TestBadAnswersAreRefused(t *testing.T) {
	n := workerv1.Kind_KIND_NODES
	one := &workerv1.VerdictChunk{Count: 1, Visible: []byte{1}}
	for name, list := range map[string][]*gatewayv1.FilterResponse{
		"nothing":        {},
		"no summary":     {verdicts(n, one)},
		"two summaries":  {summary(), summary(), verdicts(n, one)},
		"no verdicts":    {summary()},
		"too many":       {summary(), verdicts(n, &workerv1.VerdictChunk{Count: 9, Visible: []byte{1, 1}})},
		"twice":          {summary(), verdicts(n, one), verdicts(n, one)},
		"gap":            {summary(), verdicts(n, &workerv1.VerdictChunk{Base: 1, Count: 1, Visible: []byte{1}})},
		"few bits":       {summary(), verdicts(n, &workerv1.VerdictChunk{Count: 1})},
		"another kind":   {summary(), verdicts(workerv1.Kind_KIND_RELATIONSHIPS, one)},
		"no kind":        {summary(), verdicts(0, one)},
		"foreign strip":  {summary(), verdicts(n, &workerv1.VerdictChunk{Count: 1, Visible: []byte{1}, Strips: []*workerv1.Strip{{Ordinal: 1}}})},
		"foreign mask":   {summary(), verdicts(n, &workerv1.VerdictChunk{Count: 1, Visible: []byte{1}, Masks: []*workerv1.Mask{{Ordinal: 4}}})},
		"mask of no use": {summary(), verdicts(n, &workerv1.VerdictChunk{Count: 1, Visible: []byte{1}, Masks: []*workerv1.Mask{{Value: []byte("{")}}})},
		"huge ordinals":  {summary(), verdicts(n, &workerv1.VerdictChunk{Base: 1 << 63, Count: 1 << 63, Visible: []byte{1}})},
	} {
		c := newClient(t, func(_ *received, send func(*gatewayv1.FilterResponse) error) error { return sendAll(send, list...) })
		if r, err := c.Filter(t.Context(), client.Elements{Nodes: []json.RawMessage{node(1)}}); r != nil || !fault.Is(err, "bad_answer") {
			t.Errorf("%s: %v %v", name, r, err)
		}
	}
}

func TestChunksKeepEveryElement(t *testing.T) {
	var got *received
	c := newClient(t, func(g *received, send func(*gatewayv1.FilterResponse) error) error {
		got = g
		n := len(g.kinds[workerv1.Kind_KIND_NODES])
		out := []*gatewayv1.FilterResponse{summary()}
		if n > 0 {
			out = append(out, verdicts(workerv1.Kind_KIND_NODES, &workerv1.VerdictChunk{Count: uint64(n), Visible: make([]byte, (n+7)/8)}))
		}
		return sendAll(send, out...)
	})
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(0, 3000).Draw(rt, "n")
		big := rapid.IntRange(0, 3000).Draw(rt, "big")
		list := make([]json.RawMessage, n)
		for i := range list {
			list[i] = node(i)
			if i == big {
				list[i] = json.RawMessage(`{"elementId":"` + strings.Repeat("x", 2<<20) + `"}`)
			}
		}
		r, err := c.Filter(t.Context(), client.Elements{Nodes: list})
		if err != nil {
			rt.Fatal(err)
		}
		if strings.Join(got.kinds[workerv1.Kind_KIND_NODES], "\n") != texts(list) || len(r.Nodes) != n {
			rt.Fatalf("%d elements arrived of %d", len(got.kinds[workerv1.Kind_KIND_NODES]), n)
		}
	})
}

func TestDeadlineAndMistakes(t *testing.T) {
	hold := make(chan struct{})
	c := newClient(t, func(*received, func(*gatewayv1.FilterResponse) error) error { <-hold; return nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := c.Filter(ctx, client.Elements{Nodes: []json.RawMessage{node(1)}})
	close(hold)
	var f *fault.Error
	if !errors.As(err, &f) || f.Kind != fault.Timeout {
		t.Errorf("%v", err)
	}
	if _, err := c.Filter(t.Context(), client.Elements{
		Nodes: []json.RawMessage{node(1)}, Relationships: []json.RawMessage{node(1)},
	}); err == nil || !strings.Contains(err.Error(), "Graph") {
		t.Errorf("%v", err)
	}
	for _, target := range []string{"", "http://x", "grpc://"} {
		if _, err := client.New(client.Config{Target: target}); err == nil {
			t.Errorf("%q was taken", target)
		}
	}
	if _, err := client.New(client.Config{Target: "grpc://h:1"}); err == nil || !strings.Contains(err.Error(), "Token") {
		t.Errorf("%v", err)
	}
}
