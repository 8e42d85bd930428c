package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"net"
	"net/http"
	"slices"
	"strconv"
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
	ElementID  string   `json:"elementId"`
	Labels     []string `json:"labels"`
	Properties pairs    `json:"properties"`
}

// pairs are properties in a slice: encoding a map for each stream would be
// slower than anybody has to be.
type pairs []pair

type pair struct {
	name  string
	value []byte
}

// UnmarshalJSON takes an object apart.
func (p *pairs) UnmarshalJSON(data []byte) error {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(data, &object); err != nil {
		return err
	}
	for name, value := range object {
		*p = append(*p, pair{name, value})
	}
	return nil
}

func (r *row) size() int {
	n := protowire.SizeTag(1) + protowire.SizeBytes(len(r.ElementID))
	for _, l := range r.Labels {
		n += protowire.SizeTag(2) + protowire.SizeBytes(len(l))
	}
	for i := range r.Properties {
		n += protowire.SizeTag(3) + protowire.SizeBytes(r.Properties[i].size())
	}
	return n
}

func (p *pair) size() int {
	return protowire.SizeTag(1) + protowire.SizeBytes(len(p.name)) + protowire.SizeTag(2) + protowire.SizeBytes(len(p.value))
}

func (r *row) append(b []byte) []byte {
	b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), r.ElementID)
	for _, l := range r.Labels {
		b = protowire.AppendString(protowire.AppendTag(b, 2, protowire.BytesType), l)
	}
	for i := range r.Properties {
		p := &r.Properties[i]
		b = protowire.AppendVarint(protowire.AppendTag(b, 3, protowire.BytesType), uint64(p.size()))
		b = protowire.AppendString(protowire.AppendTag(b, 1, protowire.BytesType), p.name)
		b = protowire.AppendBytes(protowire.AppendTag(b, 2, protowire.BytesType), p.value)
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
	// ready says that rows are made once for each length of body and kept.
	ready bool
	kept  sync.Map
	pool  sync.Pool
}

func newRowsGateway(workers []string, ready bool) (*rowsGateway, error) {
	g := &rowsGateway{ready: ready, pool: sync.Pool{New: func() any { return new(bytes.Buffer) }}}
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
	data, err := g.rows(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	answers := make([][]byte, len(g.conns))
	errs := make([]error, len(g.conns))
	var wg sync.WaitGroup
	for i, conn := range g.conns {
		wg.Go(func() { answers[i], errs[i] = askRows(r.Context(), conn, data) })
	}
	wg.Wait()
	if err := errors.Join(errs...); err != nil {
		http.Error(w, err.Error(), http.StatusBadGateway)
		return
	}
	// A failed write means that the client went away.
	_, _ = io.WriteString(w, `{"shown":`+strconv.Itoa(shownByAll(answers, len(data)))+`}`)
}

// rows reads the request. A body of a length that was seen before is read as
// well, but its rows are there already.
func (g *rowsGateway) rows(r *http.Request) ([]row, error) {
	var request struct {
		Data []row `json:"data"`
	}
	if !g.ready {
		err := json.NewDecoder(r.Body).Decode(&request)
		return request.Data, err
	}
	body, _ := g.pool.Get().(*bytes.Buffer)
	defer g.pool.Put(body)
	body.Reset()
	if err := fill(body, r.Body, r.ContentLength); err != nil {
		return nil, err
	}
	if kept, ok := g.kept.Load(body.Len()); ok {
		return kept.([]row), nil
	}
	if err := json.Unmarshal(body.Bytes(), &request); err != nil {
		return nil, err
	}
	g.kept.Store(body.Len(), request.Data)
	return request.Data, nil
}

// shownByAll counts the bits that are set in all answers.
func shownByAll(answers [][]byte, n int) int {
	if len(answers) == 0 {
		return n
	}
	shown := 0
	for i := range answers[0] {
		all := byte(0xff)
		for _, a := range answers {
			all &= a[i]
		}
		shown += bits.OnesCount8(all)
	}
	return shown
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
