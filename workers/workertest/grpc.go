package workertest

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/muster-fleet/muster/proto/fault"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// maxMessage bounds a message from the worker.
const maxMessage = 64 << 20

// grpcTarget is a worker behind muster.worker.v1.
type grpcTarget struct {
	host    string
	within  time.Duration
	options []grpc.DialOption
	conn    *grpc.ClientConn
}

func newGRPC(o Options) (*grpcTarget, error) {
	u, err := url.Parse(o.URL)
	if err != nil {
		return nil, fmt.Errorf("parse the URL: %w", err)
	}
	creds := insecure.NewCredentials()
	if u.Scheme == "grpcs" {
		creds = credentials.NewTLS(o.TLS)
	}
	t := &grpcTarget{host: "passthrough:///" + u.Host, within: o.AnswerWithin, options: []grpc.DialOption{
		grpc.WithTransportCredentials(creds), grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxMessage), grpc.MaxCallSendMsgSize(maxMessage)),
	}}
	if t.conn, err = grpc.NewClient(t.host, t.options...); err != nil {
		return nil, fmt.Errorf("make the gRPC client: %w", err)
	}
	return t, nil
}

func (t *grpcTarget) close() {
	// The run is over; what could not be closed ends with its connection.
	_ = t.conn.Close()
}

func (t *grpcTarget) describe(ctx context.Context) (Info, error) {
	d, err := t.capabilities(ctx)
	if err != nil {
		return Info{}, err
	}
	info := Info{Class: d.GetClass(), Type: d.GetType(), UUID: d.GetUuid(), Version: d.GetVersion()}
	for name, value := range map[string]string{
		"class": info.Class, "type": info.Type, "uuid": info.UUID, "version": info.Version,
	} {
		if value == "" {
			return info, fmt.Errorf("the answer to Describe lacks %s", name)
		}
	}
	if d.GetCapabilities() == nil || d.GetCapabilities().GetProtocol() != 1 {
		return info, errors.New("Describe must tell capabilities with protocol 1")
	}
	return info, nil
}

// capabilities calls Describe over a new connection.
func (t *grpcTarget) capabilities(ctx context.Context) (*workerv1.DescribeResponse, error) {
	const within = 5 * time.Second
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	conn, err := grpc.NewClient(t.host, t.options...)
	if err != nil {
		return nil, fmt.Errorf("make the gRPC client: %w", err)
	}
	defer conn.Close()
	d, err := workerv1.NewGraphSecurityClient(conn).Describe(ctx, &workerv1.DescribeRequest{})
	if err != nil {
		return nil, fmt.Errorf("Describe without a token: %w", t.callError(err))
	}
	return d, nil
}

// callError separates a worker that is gone from one that answers an error.
func (t *grpcTarget) callError(err error) error {
	st := status.Convert(err)
	switch st.Code() {
	case codes.Unavailable:
		return fmt.Errorf("%w: %s", errNoConnection, clip(st.Message()))
	case codes.DeadlineExceeded:
		return fmt.Errorf("no answer within %s", t.within)
	default:
		return fmt.Errorf("the worker answered %s: %s", st.Code(), clip(st.Message()))
	}
}

func (t *grpcTarget) filter(ctx context.Context, c call) (outcome, error) {
	sent, err := sentBatch(c.kind, c.elements, false)
	if err != nil {
		return outcome{}, err
	}
	chunks := chunksOf(c)
	header := &workerv1.FilterHeader{
		Kind: wireKind(c.kind), Total: uint64(len(c.elements)), IdsDigest: idsDigest(sent),
	}
	return t.stream(ctx, c, sent, header, chunks)
}

// stream sends a header and chunks as they are and reads the verdicts.
func (t *grpcTarget) stream(
	ctx context.Context, c call, sent *element.Batch, header *workerv1.FilterHeader, chunks []*workerv1.ElementChunk,
) (outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, t.within)
	defer cancel()
	if c.bearer {
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+c.token)
	}
	s, err := workerv1.NewGraphSecurityClient(t.conn).Filter(ctx)
	if err != nil {
		return t.ended(ctx, err)
	}
	sender := make(chan struct{})
	go func() {
		defer close(sender)
		sendAll(s, header, chunks)
	}()
	defer func() {
		cancel()
		<-sender
	}()
	v := newVerdictReader(sent)
	for {
		m, err := s.Recv()
		if errors.Is(err, io.EOF) {
			return v.finish()
		}
		if err != nil {
			return t.ended(ctx, err)
		}
		if err := v.add(m.GetChunk()); err != nil {
			return outcome{}, err
		}
	}
}

// sendAll gives a stream all its messages; when the worker has ended the stream,
// the reader learns why.
func sendAll(s workerv1.GraphSecurity_FilterClient, header *workerv1.FilterHeader, chunks []*workerv1.ElementChunk) {
	if s.Send(&workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: header}}) != nil {
		return
	}
	for _, chunk := range chunks {
		if s.Send(&workerv1.FilterRequest{Message: &workerv1.FilterRequest_Chunk{Chunk: chunk}}) != nil {
			return
		}
	}
	// A failed half-close shows in what the reader gets.
	_ = s.CloseSend()
}

// ended turns a stream's error into a refusal, or into a failure of the call.
func (t *grpcTarget) ended(ctx context.Context, err error) (outcome, error) {
	st := status.Convert(err)
	if ctx.Err() != nil || st.Code() == codes.Unavailable {
		if f, ok := fault.FromGRPC(err); ok && ctx.Err() == nil {
			return outcome{refused: &refusal{status: f.Kind.HTTPStatus(), code: f.Code, description: f.Detail}}, nil
		}
		return outcome{}, t.callError(err)
	}
	f, _ := fault.FromGRPC(err)
	r := &refusal{status: f.Kind.HTTPStatus(), code: f.Code, description: st.Message()}
	if st.Message() == "" {
		r.flaw = fmt.Errorf("status %s came without a message", st.Code())
	}
	return outcome{refused: r}, nil
}

func wireKind(kind element.Kind) workerv1.Kind {
	if kind == element.Nodes {
		return workerv1.Kind_KIND_NODES
	}
	return workerv1.Kind_KIND_RELATIONSHIPS
}

func idsDigest(sent *element.Batch) []byte {
	if sent.Len() == 0 {
		return nil
	}
	h := sha256.New()
	for i := range sent.Len() {
		id := sent.ID(i)
		h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(id))))
		h.Write(id)
	}
	return h.Sum(nil)
}

// chunksOf lays elements out as columns, white space between them as in a body.
func chunksOf(c call) (chunks []*workerv1.ElementChunk) {
	size := c.chunk
	if size <= 0 {
		const usual = 1024
		size = usual
	}
	for base := 0; base < len(c.elements); base += size {
		chunk := &workerv1.ElementChunk{Base: uint64(base)}
		for _, e := range c.elements[base:min(base+size, len(c.elements))] {
			if len(chunk.GetData()) > 0 {
				chunk.Data = append(chunk.Data, ", "...)
			}
			chunk.Starts = append(chunk.Starts, uint32(len(chunk.GetData())))
			chunk.Data = append(chunk.Data, e...)
			chunk.Ends = append(chunk.Ends, uint32(len(chunk.GetData())))
		}
		chunks = append(chunks, chunk)
	}
	return chunks
}

// jsonScalar reports whether a mask's text is one JSON scalar of allowed size.
func jsonScalar(text []byte) bool { return json.Valid(text) && isMask(text) }
