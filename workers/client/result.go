package client

import (
	"encoding/json"
	"fmt"
	"slices"

	"github.com/muster-fleet/muster/proto/fault"
	gatewayv1 "github.com/muster-fleet/muster/proto/gen/muster/gateway/v1"
	workerv1 "github.com/muster-fleet/muster/proto/gen/muster/worker/v1"
	"github.com/muster-fleet/muster/workers/element"
)

// reader collects an answer; nothing of it leaves before finish.
type reader struct {
	out     *Result
	summary bool
	next    map[workerv1.Kind]uint64
}

func newReader(in Elements) *reader {
	return &reader{
		out: &Result{
			in: in, Nodes: make([]Verdict, len(in.Nodes)), Relationships: make([]Verdict, len(in.Relationships)),
		},
		next: map[workerv1.Kind]uint64{},
	}
}

// bad is an answer that no gateway may give.
func bad(format string, args ...any) error {
	return fault.New(fault.Internal, "bad_answer", "the gateway's answer cannot be used: "+format, args...)
}

func (r *reader) add(m *gatewayv1.FilterResponse) error {
	switch m := m.GetMessage().(type) {
	case *gatewayv1.FilterResponse_Summary:
		if r.summary {
			return bad("two summaries")
		}
		r.summary = true
		r.out.Decision, r.out.Revision = m.Summary.GetDecision(), m.Summary.GetRevision()
		r.out.Complete = m.Summary.GetComplete()
		return nil
	case *gatewayv1.FilterResponse_Chunk:
		return r.verdicts(m.Chunk.GetKind(), m.Chunk.GetVerdicts())
	case *gatewayv1.FilterResponse_Explanation:
		r.out.Explanations = append(r.out.Explanations, m.Explanation)
		return nil
	default:
		return nil // a newer gateway says more than this client knows
	}
}

func (r *reader) list(kind workerv1.Kind) []Verdict {
	switch kind {
	case workerv1.Kind_KIND_NODES:
		return r.out.Nodes
	case workerv1.Kind_KIND_RELATIONSHIPS:
		return r.out.Relationships
	default:
		return nil
	}
}

func (r *reader) verdicts(kind workerv1.Kind, c *workerv1.VerdictChunk) error {
	list, base, n := r.list(kind), c.GetBase(), c.GetCount()
	switch {
	case base != r.next[kind]:
		return bad("verdicts from ordinal %d on; %d was due", base, r.next[kind])
	case n > uint64(len(list))-base:
		return bad("verdicts on more than the %d elements that were sent", len(list))
	case uint64(len(c.GetVisible())) != (n+7)/8:
		return bad("%d bytes of bits for %d elements", len(c.GetVisible()), n)
	}
	for i := range n {
		list[base+i].Visible = c.GetVisible()[i/8]>>(i%8)&1 == 1
	}
	r.next[kind] += n
	for _, s := range c.GetStrips() {
		if o := s.GetOrdinal(); o < base || o-base >= n {
			return bad("a strip outside its chunk")
		}
		v := &list[s.GetOrdinal()]
		v.Stripped = append(v.Stripped, s.GetProperties()...)
	}
	for _, m := range c.GetMasks() {
		if o := m.GetOrdinal(); o < base || o-base >= n {
			return bad("a mask outside its chunk")
		}
		if !json.Valid(m.GetValue()) {
			return bad("a mask that is not JSON")
		}
		v := &list[m.GetOrdinal()]
		if v.Masks == nil {
			v.Masks = map[string]json.RawMessage{}
		}
		v.Masks[m.GetProperty()] = m.GetValue()
	}
	return nil
}

// finish is called after status OK, which makes the answer count.
func (r *reader) finish() (*Result, error) {
	if !r.summary {
		return nil, bad("no summary")
	}
	for kind, n := range map[workerv1.Kind]int{
		workerv1.Kind_KIND_NODES: len(r.out.Nodes), workerv1.Kind_KIND_RELATIONSHIPS: len(r.out.Relationships),
	} {
		if r.next[kind] != uint64(n) {
			return nil, bad("verdicts on %d of %d elements", r.next[kind], n)
		}
	}
	return r.out, nil
}

func apply(kind element.Kind, elements []json.RawMessage, verdicts []Verdict) ([]json.RawMessage, error) {
	out := make([]json.RawMessage, 0, len(elements))
	var s element.Single
	for i, raw := range elements {
		v := &verdicts[i]
		switch {
		case !v.Visible:
		case len(v.Stripped) == 0 && len(v.Masks) == 0:
			out = append(out, raw)
		default:
			edited, err := rewrite(&s, kind, raw, v)
			if err != nil {
				return nil, fmt.Errorf("client: %s[%d]: %w", kind.Key(), i, err)
			}
			out = append(out, edited)
		}
	}
	return out, nil
}

func rewrite(s *element.Single, kind element.Kind, raw json.RawMessage, v *Verdict) (json.RawMessage, error) {
	if _, err := s.Element(raw, kind, 0); err != nil {
		return nil, fmt.Errorf("not an element of the contract: %w", err)
	}
	view := s.View()
	from, to := view.PropertiesRaw()
	out := append(make([]byte, 0, len(raw)), view.Raw()[:from]...)
	sep := byte('{')
	for i := range view.PropertyCount() {
		p := view.Property(i)
		name := string(element.AppendText(nil, p.Name))
		if slices.Contains(v.Stripped, name) {
			continue
		}
		value := p.Value
		if mask, ok := v.Masks[name]; ok {
			value = mask
		}
		out = append(append(append(append(out, sep), p.Name...), ':'), value...)
		sep = ','
	}
	if sep == '{' {
		out = append(out, sep)
	}
	return append(append(out, '}'), view.Raw()[to:]...), nil
}
