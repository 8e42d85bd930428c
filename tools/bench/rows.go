package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/http"
	"slices"
	"sync"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/encoding/protowire"
)

// The yardstick rows is what a gateway towards gRPC workers does at first: every
// node is a message of its own with id, labels and a map of properties, encoded
// for each stream anew, in chunks of 1,024; verdicts come back as bitsets. Its
// messages are written as generated code would write them:
//
//	message Chunk { repeated Row rows = 1; }
//	message Row   { string id = 1; repeated string labels = 2; map<string, string> properties = 3; }
const (
	rowsMethod = "/bench.Rows/Filter"
	rowsChunk  = 1_024
)

var rowsStream = &grpc.StreamDesc{StreamName: "Filter", ServerStreams: true, ClientStreams: true}

// row is a node taken apart; a property's value stays JSON text.
type row struct {
	ElementID  string                     `json:"elementId"`
	Labels     []string                   `json:"labels"`
	Properties map[string]json.RawMessage `json:"properties"`
}

func (r *row) size() int {
	n := protowire.SizeTag(1) + protowire.SizeBytes(len(r.ElementID))
	for _, l := range r.Labels {
		n += protowire.SizeTag(2) + protowire.SizeBytes(len(l))
	}
	for name, value := range r.Properties {
		n += protowire.SizeTag(3) + protowire.SizeBytes(entrySize(name, value))
	}
	return n
}

func entrySize(name string, value []byte) int {
	return protowire.SizeTag(1) + protowire.SizeBytes(len(name)) + protowire.SizeTag(2) + protowire.SizeBytes(len(value))
}

func (r *row) append(b []byte) []byte {
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), r.ElementID)
	for _, l := range r.Labels {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), l)
	}
	for name, value := range r.Properties {
		b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.BytesType), uint64(entrySize(name, value)))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), name)
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), value)
	}
	return b
}

// rowsCodec marshals []row and passes bytes through.
type rowsCodec struct{}

// Name is that of the codec that it stands in for.
func (rowsCodec) Name() string { return "proto" }

// Marshal encodes a chunk of rows, or hands bytes on.
func (rowsCodec) Marshal(v any) (mem.BufferSlice, error) {
	switch v := v.(type) {
	case []byte:
		return mem.BufferSlice{mem.SliceBuffer(v)}, nil
	case []row:
		size := 0
		sizes := make([]int, len(v))
		for i := range v {
			sizes[i] = v[i].size()
			size += protowire.SizeTag(1) + protowire.SizeBytes(sizes[i])
		}
		b := make([]byte, 0, size)
		for i := range v {
			b = protowire.AppendVarint(protowire.AppendTag(b, 1, protowire.BytesType), uint64(sizes[i]))
			b = v[i].append(b)
		}
		return mem.BufferSlice{mem.SliceBuffer(b)}, nil
	default:
		return nil, fmt.Errorf("rows: cannot encode %T", v)
	}
}

// Unmarshal copies the message's bytes.
func (rowsCodec) Unmarshal(data mem.BufferSlice, v any) error {
	b, ok := v.(*[]byte)
	if !ok {
		return fmt.Errorf("rows: cannot decode into %T", v)
	}
	*b = data.Materialize()
	return nil
}

// serveRowsWorker is fake worker k for rows; it counts them, looks at none, and
// answers a bitset.
func serveRowsWorker(ctx context.Context, l net.Listener, k int) error {
	s := grpc.NewServer(grpc.ForceServerCodecV2(rowsCodec{}), grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
		count := 0
		for {
			var chunk []byte
			err := stream.RecvMsg(&chunk)
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				return err
			}
			for len(chunk) > 0 {
				n := protowire.ConsumeFieldValue(1, protowire.BytesType, chunk[1:])
				if n < 0 {
					return protowire.ParseError(n)
				}
				chunk = chunk[1+n:]
				count++
			}
		}
		return stream.SendMsg(visibleBits(k, count))
	}))
	stop := context.AfterFunc(ctx, s.Stop)
	defer stop()
	return s.Serve(l)
}

func visibleBits(k, n int) []byte {
	b := make([]byte, (n+7)/8)
	for i := range n {
		if !hides(k, i) {
			b[i/8] |= 1 << (i % 8)
		}
	}
	return b
}

// rowsGateway takes a filter request and tells how many nodes all workers show.
type rowsGateway struct {
	conns []*grpc.ClientConn
}

func newRowsGateway(workers []string) (*rowsGateway, error) {
	g := &rowsGateway{}
	for _, addr := range workers {
		conn, err := grpc.NewClient(addr, grpc.WithTransportCredentials(insecure.NewCredentials()),
			grpc.WithDefaultCallOptions(grpc.ForceCodecV2(rowsCodec{})))
		if err != nil {
			return nil, errors.Join(err, g.close())
		}
		g.conns = append(g.conns, conn)
	}
	return g, nil
}

func (g *rowsGateway) close() error {
	var errs []error
	for _, c := range g.conns {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}

// ServeHTTP asks all workers and answers a count.
func (g *rowsGateway) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var request struct {
		Data []row `json:"data"`
	}
	if err := json.NewDecoder(r.Body).Decode(&request); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answers := make([][]byte, len(g.conns))
	errs := make([]error, len(g.conns))
	var wg sync.WaitGroup
	for i, conn := range g.conns {
		wg.Go(func() { answers[i], errs[i] = askRows(r.Context(), conn, request.Data) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	shown := 0
	for i := range answers[0] {
		all := byte(0xff)
		for _, a := range answers {
			all &= a[i]
		}
		shown += bits.OnesCount8(all)
	}
	// A failed write means that the client went away.
	_, _ = fmt.Fprintf(w, `{"shown":%d}`, shown)
}

func askRows(ctx context.Context, conn *grpc.ClientConn, rows []row) ([]byte, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stream, err := conn.NewStream(ctx, rowsStream, rowsMethod)
	if err != nil {
		return nil, err
	}
	for chunk := range slices.Chunk(rows, rowsChunk) {
		if err := stream.SendMsg(chunk); err != nil {
			return nil, err
		}
	}
	if err := stream.CloseSend(); err != nil {
		return nil, err
	}
	var answer []byte
	if err := stream.RecvMsg(&answer); err != nil {
		return nil, err
	}
	if want := (len(rows) + 7) / 8; len(answer) != want {
		return nil, fmt.Errorf("a bitset of %d bytes, want %d", len(answer), want)
	}
	return answer, nil
}
