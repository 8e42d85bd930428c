package fanout

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"google.golang.org/grpc/mem"
	"google.golang.org/protobuf/proto"
	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/gateway/verdict"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// request reads nodes with properties of these names.
func request(t interface{ Fatal(...any) }, props ...string) *element.Request {
	var parts []string
	for i, p := range props {
		parts = append(parts, fmt.Sprintf(`{"elementId":"é%d","labels":["L"],"properties":{%s}}`, i, p))
	}
	r, err := element.ParseRequest([]byte(`{"parameters":{"type":"nodes"},"data":[`+strings.Join(parts, " , ")+`]}`), element.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

type counting struct{ held int }

func (c *counting) Retain()  { c.held++ }
func (c *counting) Release() { c.held-- }

// What the codec puts on the wire is the message that protobuf reads, whatever
// the chunk and whoever holds the body.
func TestChunksAreProtobuf(t *testing.T) {
	c := newCodec()
	rapid.Check(t, func(rt *rapid.T) {
		n := rapid.IntRange(1, 30).Draw(rt, "n")
		props := make([]string, n)
		for i := range props {
			props[i] = fmt.Sprintf(`"p":%q`, strings.Repeat("x", rapid.IntRange(0, 300).Draw(rt, "size")))
		}
		req := request(rt, props...)
		from := rapid.IntRange(0, n-1).Draw(rt, "from")
		to := rapid.IntRange(from+1, n).Draw(rt, "to")
		base := rapid.IntRange(0, from).Draw(rt, "base")
		pin := &counting{}
		ch := encodeChunk(req.Nodes, base, from, to, pin, &columns{})
		for range 3 {
			out, err := c.Marshal(ch)
			if err != nil {
				rt.Fatal(err)
			}
			var m workerv1.FilterRequest
			if err := proto.Unmarshal(out.Materialize(), &m); err != nil {
				rt.Fatal(err)
			}
			got := m.GetChunk()
			if got.GetBase() != uint64(from-base) || len(got.GetStarts()) != to-from || len(got.GetEnds()) != to-from || len(m.ProtoReflect().GetUnknown()) != 0 {
				rt.Fatalf("%v", got)
			}
			for i := range to - from {
				if !bytes.Equal(got.GetData()[got.GetStarts()[i]:got.GetEnds()[i]], req.Nodes.Raw(from+i)) {
					rt.Fatalf("element %d is another", i)
				}
			}
			out.Free()
			asDecide(rt, c, ch, got)
		}
		if pin.held != 0 {
			rt.Fatalf("%d references are left", pin.held)
		}
	})
	header := &workerv1.FilterRequest{Message: &workerv1.FilterRequest_Header{Header: &workerv1.FilterHeader{Total: 3}}}
	out, err := c.Marshal(header)
	if err != nil {
		t.Fatal(err)
	}
	var back workerv1.FilterRequest
	if err := c.Unmarshal(out, &back); err != nil || !proto.Equal(header, &back) || c.Name() != "proto" {
		t.Fatal(err, &back)
	}
}

// asDecide checks that the same chunk, as a question, is the other method's request.
func asDecide(rt *rapid.T, c codec, ch *chunk, want *workerv1.ElementChunk) {
	kind := workerv1.Kind(rapid.IntRange(1, 2).Draw(rt, "kind"))
	out, err := c.Marshal(question{kind, ch})
	if err != nil {
		rt.Fatal(err)
	}
	defer out.Free()
	var m workerv1.DecideRequest
	if err := proto.Unmarshal(out.Materialize(), &m); err != nil {
		rt.Fatal(err)
	}
	if m.GetKind() != kind || !proto.Equal(m.GetElements(), want) || len(m.ProtoReflect().GetUnknown()) != 0 {
		rt.Fatalf("%v", &m)
	}
}

func TestBodyIsNotCopiedWhenItIsHeld(t *testing.T) {
	req := request(t, `"p":"`+strings.Repeat("x", 5000)+`"`)
	pin := &counting{}
	held := encodeChunk(req.Nodes, 0, 0, 1, pin, &columns{})
	if &held.data[0] != &req.Nodes.Raw(0)[0] {
		t.Error("the data was copied although the body is held")
	}
	b := held.buffer()
	if pin.held != 1 {
		t.Errorf("held %d times", pin.held)
	}
	var _ mem.Buffer = b
	b.Free()
	if copied := encodeChunk(req.Nodes, 0, 0, 1, nil, &columns{}); &copied.data[0] == &req.Nodes.Raw(0)[0] {
		t.Error("the data is the body's although nobody holds it")
	}
}

func TestIDsDigestIsTheContracts(t *testing.T) {
	req := request(t, `"a":1`, `"a":2`, `"a":3`)
	var want []byte
	for _, id := range []string{"é1", "é2"} {
		want = binary.BigEndian.AppendUint32(want, uint32(len(id)))
		want = append(want, id...)
	}
	sum := sha256.Sum256(want)
	if got := idsDigest(req.Nodes, 1, 3); !bytes.Equal(got, sum[:]) {
		t.Errorf("%x", got)
	}
}

func TestCleanIsShortPrintableAndStable(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		in := rapid.OneOf(rapid.String(), rapid.Map(rapid.SliceOf(rapid.Byte()), func(b []byte) string { return string(b) })).Draw(rt, "in")
		in = strings.Repeat(in, rapid.IntRange(1, 30).Draw(rt, "times"))
		out := clean(in)
		if len(out) > maxText || !utf8.ValidString(out) || strings.ContainsFunc(out, isControl) || clean(out) != out {
			rt.Fatalf("%q became %q", in, out)
		}
		if strings.Contains(cleanCode(in), `"`) {
			rt.Fatal("a quote in a code")
		}
	})
}

func TestTargets(t *testing.T) {
	for raw, want := range map[string]target{
		"http://h/p?q=1":     {false, "h:80", "h", "h", "/p?q=1"},
		"https://h:8443":     {true, "h:8443", "h", "h:8443", "/"},
		"grpcs://[::1]":      {true, "[::1]:443", "::1", "[::1]", "/"},
		"grpc://10.0.0.1:90": {false, "10.0.0.1:90", "10.0.0.1", "10.0.0.1:90", "/"},
	} {
		if got, err := parseTarget(raw); err != nil || got != want {
			t.Errorf("%s: %+v %v", raw, got, err)
		}
	}
	for _, raw := range []string{"ftp://h/", "http:///p", "::", "h:80"} {
		if got, err := parseTarget(raw); err == nil {
			t.Errorf("%s: %+v", raw, got)
		}
	}
}

// A mask can add no property to an element that has been dropped.
func TestMasksFitTheElementsThatWere(t *testing.T) {
	req := request(t, `"a":1,"b":2`, `"a\u0062":1`, `"a\"b":1`, ``, `"b":0,"a":0`)
	s := newShapes()
	s.note(req.Nodes)
	full := newShapes()
	full.room = 0
	full.note(req.Nodes)
	names := []string{"a", "b", "ab", `a"b`}
	has := []string{"a b", "ab", `a"b`, "", "a b"}
	build := func() *verdict.Set {
		set := verdict.NewWhole(5)
		for i := range 5 {
			for _, n := range names {
				set.Mask(i, n, json.RawMessage("0"))
			}
			set.Explain(i, "why")
		}
		return set
	}
	got, none := s.fit(element.Nodes, build()), full.fit(element.Nodes, build())
	for i := range 5 {
		var kept []string
		for _, m := range got.MasksOf(i) {
			kept = append(kept, m.Name)
		}
		if strings.Join(kept, " ") != has[i] || got.ReasonOf(i) != "why" || !got.Visible(i) {
			t.Errorf("element %d keeps masks of %q", i, kept)
		}
		if len(none.MasksOf(i)) != 0 || len(none.StripsOf(i)) != len(names) {
			t.Errorf("element %d of unknown shape: %v %v", i, none.MasksOf(i), none.StripsOf(i))
		}
	}
	if s.fit(element.Nodes, nil) != nil {
		t.Error("a set out of nothing")
	}
}

func TestRetryBudgetIsBounded(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		b := retryBudget{share: 100}
		b.left.Store(retryBurst * retryUnit)
		calls, retries := 0, 0
		for _, retry := range rapid.SliceOfN(rapid.Bool(), 0, 500).Draw(rt, "calls") {
			b.pay()
			calls++
			if retry && b.take() {
				retries++
			}
		}
		if retries > retryBurst+calls/10+1 || b.left.Load() > retryBurst*retryUnit || b.left.Load() < 0 {
			rt.Fatalf("%d retries for %d calls, %d left", retries, calls, b.left.Load())
		}
	})
}
