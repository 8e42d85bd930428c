package workertest

import (
	"errors"
	"fmt"
	"strings"

	"github.com/muster-fleet/muster/workers/element"
)

// requestBody writes the contract's body.
func requestBody(kind element.Kind, elements []string) []byte {
	return []byte(`{"parameters":{"type":"` + kind.Key() + `"},"data":[` + strings.Join(elements, ",") + `]}`)
}

// sentBatch reads back what was sent, for the comparison. unknown allows members
// that the contract does not name.
func sentBatch(kind element.Kind, elements []string, unknown bool) (*element.Batch, error) {
	r, err := element.ParseRequest(requestBody(kind, elements), element.Options{DropUnknownMembers: unknown})
	if err != nil {
		return nil, fmt.Errorf("the suite made a bad batch: %w", err)
	}
	return r.Batch(kind), nil
}

// readReply holds a success body against what was sent, as strictly as a gateway.
func readReply(sent *element.Batch, body []byte, unknown bool) (outcome, error) {
	kind := sent.Kind()
	list, err := resultOf(kind, body)
	if err != nil {
		return outcome{}, err
	}
	wrapped := append([]byte(`{"parameters":{"type":"`+kind.Key()+`"},"data":`), list...)
	r, err := element.ParseRequest(append(wrapped, '}'), element.Options{DropUnknownMembers: unknown})
	if err != nil {
		return outcome{}, fmt.Errorf("result.%s of the answer is not a list of elements with unique ids: %w", kind.Key(), err)
	}
	got := r.Batch(kind)
	if got.Places() != got.Len() {
		return outcome{}, errors.New("the answer holds an element twice that was sent once")
	}
	out := outcome{verdicts: make([]string, sent.Len())}
	for i := range out.verdicts {
		out.verdicts[i] = hidden
	}
	for i := range got.Len() {
		ordinal, ok := sent.Find(got.ID(i))
		if !ok {
			return outcome{}, fmt.Errorf("element %d of the answer has an elementId that was not sent", i)
		}
		e, err := compare(sent, ordinal, got, i)
		if err != nil {
			return outcome{}, fmt.Errorf("element %d of the answer, which was sent as %d: %w", i, ordinal, err)
		}
		out.verdicts[ordinal] = e.String()
		if e.masked {
			out.masked = append(out.masked, ordinal)
		}
		out.elements = append(out.elements, string(got.Raw(i)))
	}
	return out, nil
}

// resultOf returns the list under the right key of result, which must be alone.
func resultOf(kind element.Kind, body []byte) ([]byte, error) {
	top, err := element.ReadObject(body, len(body))
	if err != nil {
		return nil, fmt.Errorf("the answer is not one JSON object: %w", err)
	}
	result := memberOf(top, "result")
	if result == nil {
		if memberOf(top, "error") != nil {
			return nil, errors.New("a success status came with an error body; errors need a status outside 200-299")
		}
		return nil, errors.New(`the answer has no member "result"`)
	}
	inner, err := element.ReadObject(result, len(result))
	if err != nil {
		return nil, fmt.Errorf(`"result" is not an object: %w`, err)
	}
	if len(inner) != 1 || inner[0].Name != kind.Key() {
		names := make([]string, len(inner))
		for i, m := range inner {
			names[i] = clip(m.Name)
		}
		return nil, fmt.Errorf(`"result" must have the one key %q; it has [%s]`, kind.Key(), strings.Join(names, ", "))
	}
	return inner[0].Value, nil
}

func memberOf(list []element.Member, name string) []byte {
	for _, m := range list {
		if m.Name == name {
			return m.Value
		}
	}
	return nil
}

// compare finds what a worker took away or replaced, and refuses anything else.
func compare(sent *element.Batch, i int, got *element.Batch, j int) (*edit, error) {
	a, b := sent.View(i), got.View(j)
	if sent.Kind() == element.Nodes {
		if !element.Equal(a.LabelsRaw(), b.LabelsRaw()) {
			return nil, errors.New("its labels were changed")
		}
	} else if err := sameRelationship(&a, &b); err != nil {
		return nil, err
	}
	return compareProperties(&a, &b)
}

func sameRelationship(a, b *element.View) error {
	switch {
	case string(a.Type()) != string(b.Type()):
		return errors.New("its type was changed")
	case string(a.Start()) != string(b.Start()) || string(a.End()) != string(b.End()):
		return errors.New("an endpoint was changed")
	case b.StartLabel() != nil && string(a.StartLabel()) != string(b.StartLabel()),
		b.EndLabel() != nil && string(a.EndLabel()) != string(b.EndLabel()):
		return errors.New("startNodeLabel or endNodeLabel was changed")
	}
	return nil
}

func compareProperties(a, b *element.View) (*edit, error) {
	left := make(map[string][]byte, b.PropertyCount())
	for i := range b.PropertyCount() {
		p := b.Property(i)
		left[string(element.AppendText(nil, p.Name))] = p.Value
	}
	e := &edit{}
	for i := range a.PropertyCount() {
		p := a.Property(i)
		name := string(element.AppendText(nil, p.Name))
		value, ok := left[name]
		delete(left, name)
		switch {
		case !ok:
			e.strip(name)
		case element.Equal(p.Value, value):
		case isMask(value):
			e.mask(name, string(value))
		default:
			return nil, fmt.Errorf("the value of property %q was changed, and not to a mask (a scalar of at most 1 KiB)", clip(name))
		}
	}
	for name := range left {
		return nil, fmt.Errorf("property %q was added", clip(name))
	}
	return e, nil
}

// isMask reports whether a valid JSON text may be a mask.
func isMask(value []byte) bool {
	const most = 1 << 10
	return len(value) <= most && len(value) > 0 && value[0] != '{' && value[0] != '['
}

// readRefusal reads the body of an answer outside 200-299.
func readRefusal(status int, contentType string, body []byte) *refusal {
	r := &refusal{status: status}
	top, err := element.ReadObject(body, len(body))
	if err != nil {
		r.flaw = fmt.Errorf("status %d came without the JSON error body {description, error}: %w", status, err)
		r.leaks = strings.Contains(string(body), graphUUID)
		return r
	}
	r.leaks = memberOf(top, "result") != nil || strings.Contains(string(body), graphUUID)
	for name, into := range map[string]*string{"description": &r.description, "error": &r.code} {
		raw := memberOf(top, name)
		if len(raw) < len(`"x"`) || raw[0] != '"' {
			r.flaw = fmt.Errorf("status %d: the error body needs %q, a string that is not empty", status, name)
			continue
		}
		*into = string(element.AppendText(nil, raw))
	}
	if r.flaw == nil && !strings.HasPrefix(contentType, "application/json") {
		r.flaw = fmt.Errorf("status %d: the error body's Content-Type is %q; application/json is due", status, clip(contentType))
	}
	return r
}
