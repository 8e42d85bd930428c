package client

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
)

const nodesKind = workerv1.Kind_KIND_NODES

// drawn is an answer to a call and what it means.
type drawn struct {
	in       Elements
	verdicts []Verdict
	answer   []*gatewayv1.FilterResponse
}

// node writes a node with some properties.
func node(i, props int) json.RawMessage {
	parts := make([]string, props)
	for j := range parts {
		parts[j] = fmt.Sprintf(`"p%d": "v%d"`, j, j)
	}
	return json.RawMessage(fmt.Sprintf(`{"elementId":"n%d","labels":["L"],"properties":{%s}}`, i, strings.Join(parts, " , ")))
}

// drawAnswer draws nodes, verdicts over them, and a way to cut these into messages.
func drawAnswer(t *rapid.T) *drawn {
	d := &drawn{}
	n := rapid.IntRange(0, 40).Draw(t, "nodes")
	for i := range n {
		props := rapid.IntRange(0, 4).Draw(t, "properties")
		d.in.Nodes = append(d.in.Nodes, node(i, props))
		v := Verdict{Visible: rapid.Bool().Draw(t, "visible")}
		for j := range props {
			name := fmt.Sprintf("p%d", j)
			switch rapid.IntRange(0, 3).Draw(t, "edit") {
			case 0:
				v.Stripped = append(v.Stripped, name)
			case 1:
				if v.Masks == nil {
					v.Masks = map[string]json.RawMessage{}
				}
				v.Masks[name] = json.RawMessage(rapid.SampledFrom([]string{`"*"`, "null", "0", "true"}).Draw(t, "mask"))
			}
		}
		d.verdicts = append(d.verdicts, v)
	}
	d.answer = append(d.answer, &gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Summary{Summary: &gatewayv1.FilterSummary{
		Decision: "d", Revision: 3, Complete: true,
	}}})
	for base := 0; base < n; {
		size := rapid.IntRange(1, n-base).Draw(t, "chunk")
		d.answer = append(d.answer, verdictChunk(base, d.verdicts[base:base+size]))
		base += size
	}
	return d
}

func verdictChunk(base int, verdicts []Verdict) *gatewayv1.FilterResponse {
	c := &workerv1.VerdictChunk{Base: uint64(base), Count: uint64(len(verdicts)), Visible: make([]byte, (len(verdicts)+7)/8)}
	for i, v := range verdicts {
		if v.Visible {
			c.Visible[i/8] |= 1 << (i % 8)
		}
		if len(v.Stripped) > 0 {
			c.Strips = append(c.Strips, &workerv1.Strip{Ordinal: uint64(base + i), Properties: v.Stripped})
		}
		for _, name := range slices.Sorted(maps.Keys(v.Masks)) {
			c.Masks = append(c.Masks, &workerv1.Mask{Ordinal: uint64(base + i), Property: name, Value: v.Masks[name]})
		}
	}
	return &gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Chunk{Chunk: &gatewayv1.VerdictChunk{Kind: nodesKind, Verdicts: c}}}
}

func read(in Elements, answer []*gatewayv1.FilterResponse) (*Result, error) {
	r := newReader(in)
	for _, m := range answer {
		if err := r.add(m); err != nil {
			return nil, err
		}
	}
	return r.finish()
}

// However the verdicts were cut into messages, what may be seen is what they say,
// which the standard library is asked for here.
func TestVerdictsApplyHoweverTheyAreCut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := drawAnswer(t)
		r, err := read(d.in, d.answer)
		if err != nil {
			t.Fatal(err)
		}
		shown, err := r.VisibleNodes()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range d.verdicts {
			if !v.Visible {
				continue
			}
			if len(shown) == 0 {
				t.Fatalf("node %d is missing", i)
			}
			if len(v.Stripped)+len(v.Masks) == 0 && !bytes.Equal(shown[0], d.in.Nodes[i]) {
				t.Fatalf("node %d was left alone and is %s", i, shown[0])
			}
			var want, got struct {
				ElementID  string
				Labels     []string
				Properties map[string]json.RawMessage
			}
			if json.Unmarshal(d.in.Nodes[i], &want) != nil || json.Unmarshal(shown[0], &got) != nil {
				t.Fatalf("%s is not JSON", shown[0])
			}
			maps.Copy(want.Properties, v.Masks)
			for _, name := range v.Stripped {
				delete(want.Properties, name)
			}
			if want.ElementID != got.ElementID || !maps.EqualFunc(want.Properties, got.Properties, func(a, b json.RawMessage) bool { return bytes.Equal(a, b) }) {
				t.Fatalf("node %d under %+v is %s", i, v, shown[0])
			}
			shown = shown[1:]
		}
		if len(shown) != 0 {
			t.Fatalf("more than was decided: %s", shown)
		}
	})
}

// An answer with a message too many, too few, in another order or of another
// extent is never taken for a decision.
func TestDamagedAnswersAreRefused(t *testing.T) {
	refused := 0
	rapid.Check(t, func(t *rapid.T) {
		d := drawAnswer(t)
		at := rapid.IntRange(0, len(d.answer)-1).Draw(t, "message")
		answer := slices.Clone(d.answer)
		answer[at] = proto.Clone(answer[at]).(*gatewayv1.FilterResponse)
		v := answer[at].GetChunk().GetVerdicts()
		switch rapid.IntRange(0, 6).Draw(t, "damage") {
		case 0:
			answer = slices.Delete(answer, at, at+1)
		case 1:
			answer = slices.Insert(answer, at, answer[at])
		case 2:
			other := rapid.IntRange(0, len(answer)-1).Draw(t, "other")
			if other == at || v == nil || answer[other].GetChunk() == nil {
				return // a summary may come anywhere before the end
			}
			answer[at], answer[other] = answer[other], answer[at]
		case 3:
			if v == nil {
				return
			}
			v.Count += uint64(rapid.IntRange(1, 9).Draw(t, "more"))
		case 4:
			if v == nil {
				return
			}
			v.Visible = append(v.Visible, 0)
		case 5:
			if v == nil {
				return
			}
			outside := rapid.SampledFrom([]uint64{v.Base + v.Count, v.Base - 1, 1 << 63}).Draw(t, "ordinal")
			v.Strips = append(v.Strips, &workerv1.Strip{Ordinal: outside, Properties: []string{"p0"}})
		default:
			if v == nil {
				return
			}
			v.Masks = append(v.Masks, &workerv1.Mask{Ordinal: v.Base, Property: "p0", Value: []byte(`"`)})
		}
		if r, err := read(d.in, answer); err == nil || !fault.Is(err, "bad_answer") || r != nil {
			t.Fatalf("%v: %v", err, answer)
		}
		refused++
	})
	if refused < 5 { // of the 20 that a short run draws
		t.Errorf("only %d damaged answers: nothing is proven", refused)
	}
}

// What is packed into messages is everything, in order, within the bounds, and an
// element that is larger than a message's bound has one for itself.
func TestPackKeepsItsBounds(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sizes := rapid.SliceOfN(rapid.SampledFrom([]int{0, 1, 10, 600, chunkBytes / 2, chunkBytes - 1, chunkBytes, chunkBytes + 1}), 1, 12).Draw(t, "sizes")
		few := rapid.IntRange(0, 3000).Draw(t, "small ones")
		var elements []json.RawMessage
		for i, n := range sizes {
			elements = append(elements, bytes.Repeat([]byte{byte('a' + i)}, n))
		}
		for range few {
			elements = append(elements, json.RawMessage("x"))
		}
		for base := 0; base < len(elements); {
			c, n := pack(elements, base)
			if n < 1 || n > chunkElements || len(c.GetStarts()) != n || len(c.GetEnds()) != n || c.GetBase() != uint64(base) ||
				n > 1 && len(c.GetData()) > chunkBytes {
				t.Fatalf("%d elements with %d bytes from %d", n, len(c.GetData()), base)
			}
			for i := range n {
				if got := c.GetData()[c.GetStarts()[i]:c.GetEnds()[i]]; !bytes.Equal(got, elements[base+i]) {
					t.Fatalf("element %d has %d bytes, want %d", base+i, len(got), len(elements[base+i]))
				}
			}
			base += n
		}
	})
}

// Nothing that a gateway may send makes the reader panic, or a decision out of
// verdicts on other elements.
func FuzzAnswer(f *testing.F) {
	for _, v := range [][]Verdict{nil, {{Visible: true}}, {{Visible: true, Stripped: []string{"p0"}}, {}}} {
		text, err := proto.Marshal(verdictChunk(0, v))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	in := Elements{Nodes: []json.RawMessage{node(0, 2), node(1, 1)}}
	f.Fuzz(func(t *testing.T, text []byte) {
		m := new(gatewayv1.FilterResponse)
		if proto.Unmarshal(text, m) != nil {
			return
		}
		summary := &gatewayv1.FilterResponse{Message: &gatewayv1.FilterResponse_Summary{Summary: &gatewayv1.FilterSummary{}}}
		r, err := read(in, []*gatewayv1.FilterResponse{summary, m})
		if err != nil {
			return
		}
		if n := m.GetChunk().GetVerdicts().GetCount(); n != 2 {
			t.Fatalf("a decision on two nodes out of %d verdicts", n)
		}
		shown, err := r.VisibleNodes()
		if err == nil && len(shown) > 2 {
			t.Fatalf("%d nodes of two", len(shown))
		}
	})
}
