// Package client filters nodes and relationships through a gateway over gRPC
// (muster.gateway.v1), for graph services written in Go. Elements travel once:
// what comes back are verdicts, which Result applies to the elements that the
// caller still holds.
//
// Nothing of an answer counts before the stream has ended with status OK, so
// Filter returns a whole result or an error, never a part.
package client

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

const (
	// chunkElements and chunkBytes bound a message to the gateway; a larger element
	// travels in a message of its own.
	chunkElements = 1024
	chunkBytes    = 1 << 20
	// maxMessage bounds a message from the gateway.
	maxMessage = 64 << 20
)

// Config says which gateway to ask. Target and Token are required.
type Config struct {
	// Target is grpc://host:port, or grpcs://host:port with TLS.
	Target string
	// Token returns the bearer token of the person (or service) who will see the
	// result; it is asked for every call and must be safe for concurrent use.
	Token func(ctx context.Context) (string, error)
	// TLS is used with grpcs; nil trusts the system's roots.
	TLS *tls.Config
	// DialOptions are added to the client's own.
	DialOptions []grpc.DialOption
}

// Client asks one gateway. It is safe for concurrent use; Close ends it.
type Client struct {
	conn  *grpc.ClientConn
	api   gatewayv1.GraphSecurityClient
	token func(context.Context) (string, error)
}

// New makes a client. It connects at the first call.
func New(c Config) (*Client, error) {
	u, err := url.Parse(c.Target)
	if err != nil || u.Host == "" || (u.Scheme != "grpc" && u.Scheme != "grpcs") {
		return nil, fmt.Errorf("client: target %q must be grpc://host:port or grpcs://host:port", c.Target)
	}
	if c.Token == nil {
		return nil, errors.New("client: Token is missing; every call needs the token of whoever will see the result")
	}
	creds := insecure.NewCredentials()
	if u.Scheme == "grpcs" {
		creds = credentials.NewTLS(c.TLS)
	}
	conn, err := grpc.NewClient("dns:///"+u.Host, append([]grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage)),
	}, c.DialOptions...)...)
	if err != nil {
		return nil, fmt.Errorf("client: %w", err)
	}
	return &Client{conn: conn, api: gatewayv1.NewGraphSecurityClient(conn), token: c.Token}, nil
}

// Close ends the client's connections; calls in flight fail.
func (c *Client) Close() error {
	if err := c.conn.Close(); err != nil {
		return fmt.Errorf("client: close: %w", err)
	}
	return nil
}

// Elements are what a query found, each in the contract's shape. They must not
// change until the call is over, and not before Result is done with either.
type Elements struct {
	Nodes, Relationships []json.RawMessage
	// Graph closes the result: a relationship stays only if both its ends are
	// nodes of this call and visible. It must be set when both kinds are given.
	Graph bool
	// Explain asks who hid what; it needs the explain grant.
	Explain bool
}

// Filter asks which of the elements the token's owner may see. Errors of the call
// are *fault.Error with the gateway's code, such as worker_timeout, naming the
// worker that is to blame; bad_answer is an answer that cannot be used. Before the
// call, nodes and relationships without Graph and Config.Token's own error are
// errors too. ctx's deadline travels to the gateway and bounds all.
func (c *Client) Filter(ctx context.Context, in Elements) (*Result, error) {
	batch, err := in.batch()
	if err != nil {
		return nil, err
	}
	token, err := c.token(ctx)
	if err != nil {
		return nil, fmt.Errorf("client: get the token: %w", err)
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+token))
	sent := make(chan struct{})
	// The sender ends with the call, whichever side ends it.
	defer func() {
		cancel()
		<-sent
	}()
	s, err := c.api.Filter(ctx)
	if err != nil {
		close(sent)
		return nil, callFault(err)
	}
	go func() {
		defer close(sent)
		send(s, batch, in)
	}()
	r := newReader(in)
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return r.finish()
		}
		if err != nil {
			return nil, callFault(err)
		}
		if err := r.add(m); err != nil {
			return nil, err
		}
	}
}

func (in *Elements) batch() (gatewayv1.Batch, error) {
	switch {
	case in.Graph:
		return gatewayv1.Batch_BATCH_GRAPH, nil
	case len(in.Nodes) > 0 && len(in.Relationships) > 0:
		return 0, errors.New("client: nodes and relationships in one call need Graph; without closure, make two calls")
	case in.Relationships != nil:
		return gatewayv1.Batch_BATCH_RELATIONSHIPS, nil
	default:
		return gatewayv1.Batch_BATCH_NODES, nil
	}
}

func callFault(err error) error {
	f, _ := fault.FromGRPC(err)
	return f
}

// send gives the stream everything, nodes first. When the gateway has ended the
// stream, the reader learns why.
func send(s gatewayv1.GraphSecurity_FilterClient, batch gatewayv1.Batch, in Elements) {
	header := &gatewayv1.FilterHeader{Batch: batch, Explain: in.Explain}
	if s.Send(&gatewayv1.FilterRequest{Message: &gatewayv1.FilterRequest_Header{Header: header}}) != nil {
		return
	}
	for _, part := range []struct {
		kind     workerv1.Kind
		elements []json.RawMessage
	}{{workerv1.Kind_KIND_NODES, in.Nodes}, {workerv1.Kind_KIND_RELATIONSHIPS, in.Relationships}} {
		for base := 0; base < len(part.elements); {
			chunk, n := pack(part.elements, base)
			m := &gatewayv1.ElementChunk{Kind: part.kind, Elements: chunk}
			if s.Send(&gatewayv1.FilterRequest{Message: &gatewayv1.FilterRequest_Chunk{Chunk: m}}) != nil {
				return
			}
			base += n
		}
	}
	// A failed half-close shows in what the reader gets.
	_ = s.CloseSend()
}

// pack lays out as many elements from base on as one message takes.
func pack(elements []json.RawMessage, base int) (chunk *workerv1.ElementChunk, n int) {
	chunk = &workerv1.ElementChunk{Base: uint64(base)}
	for _, e := range elements[base:] {
		if n == chunkElements || n > 0 && len(chunk.GetData())+len(e) > chunkBytes {
			break
		}
		chunk.Starts = append(chunk.Starts, uint32(len(chunk.GetData())))
		chunk.Data = append(chunk.Data, e...)
		chunk.Ends = append(chunk.Ends, uint32(len(chunk.GetData())))
		n++
	}
	return chunk, n
}

// Verdict is the gateway's word on one element.
type Verdict struct {
	// Visible is false for an element that must not be shown at all.
	Visible bool
	// Stripped are the properties that must not be shown.
	Stripped []string
	// Masks are values to show in place of the element's own.
	Masks map[string]json.RawMessage
}

// Result is a whole decision.
type Result struct {
	// Decision is the decision's id, a UUIDv7, by which it is found in logs.
	Decision string
	// Revision is the gateway's change counter at the time.
	Revision int64
	// Complete is false when a worker that may hide instead of failing has failed.
	Complete bool
	// Nodes and Relationships have one verdict per element, in the order given.
	Nodes, Relationships []Verdict
	// Explanations are there when they were asked for.
	Explanations []*gatewayv1.Explanation

	in Elements
}

// VisibleNodes returns the nodes as the caller may see them, in order: untouched
// ones as they were given, of others a copy with the properties edited.
func (r *Result) VisibleNodes() ([]json.RawMessage, error) {
	return apply(element.Nodes, r.in.Nodes, r.Nodes)
}

// VisibleRelationships is VisibleNodes for relationships.
func (r *Result) VisibleRelationships() ([]json.RawMessage, error) {
	return apply(element.Relationships, r.in.Relationships, r.Relationships)
}
