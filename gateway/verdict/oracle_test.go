package verdict

import (
	"bytes"
	"encoding/json"
	"errors"
	"maps"
	"math/big"
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"github.com/muster-fleet/muster/workers/element"
)

// judged is what the oracle says of one reply.
type judged struct {
	visible map[int]bool
	strips  map[Strip]bool
	masks   map[Strip]string // canonical values
}

var errViolation = errors.New("violation")

// oracle judges a reply as the specification reads: the whole of it decoded into
// maps, compared member by member. It shares nothing with the matcher.
func oracle(reply []byte, b *element.Batch, o ReplyOptions) (*judged, error) {
	if o.MaxBytes > 0 && int64(len(reply)) > o.MaxBytes {
		return nil, errViolation
	}
	tree, ok := decode(reply)
	if !ok {
		return nil, errViolation
	}
	top, ok := tree.(map[string]any)
	if !ok {
		return nil, errViolation
	}
	result, ok := top["result"].(map[string]any)
	if !ok || len(result) != 1 {
		return nil, errViolation
	}
	list, ok := result[b.Kind().Key()].([]any)
	if !ok {
		return nil, errViolation
	}
	j := &judged{map[int]bool{}, map[Strip]bool{}, map[Strip]string{}}
	for _, x := range list {
		e, ok := x.(map[string]any)
		if !ok {
			return nil, errViolation
		}
		if err := j.element(e, b, o); err != nil {
			return nil, err
		}
	}
	return j, nil
}

func (j *judged) element(e map[string]any, b *element.Batch, o ReplyOptions) error {
	id, ok := e["elementId"].(string)
	if !ok {
		return errViolation
	}
	at := -1
	for i := o.From; i < o.To; i++ {
		if string(b.ID(i)) == id {
			at = i
		}
	}
	if at < 0 || j.visible[at-o.From] {
		return errViolation
	}
	j.visible[at-o.From] = true
	was, _ := decode(b.Raw(at))
	sent := was.(map[string]any)
	for name, value := range e {
		if old, there := sent[name]; !there || name != "properties" && canonical(old) != canonical(value) {
			return errViolation
		}
	}
	for name := range sent {
		if _, there := e[name]; !there && name != "startNodeLabel" && name != "endNodeLabel" {
			return errViolation
		}
	}
	props, ok := e["properties"].(map[string]any)
	if !ok {
		return errViolation
	}
	return j.properties(at-o.From, sent["properties"].(map[string]any), props, o.Mask)
}

func (j *judged) properties(i int, sent, got map[string]any, mask bool) error {
	for name, value := range got {
		old, there := sent[name]
		if !there {
			return errViolation
		}
		if canonical(old) == canonical(value) {
			continue
		}
		switch value.(type) {
		case map[string]any, []any:
			return errViolation
		}
		if !mask {
			return errViolation
		}
		j.masks[Strip{uint32(i), name}] = canonical(value)
	}
	for name := range sent {
		if _, there := got[name]; !there {
			j.strips[Strip{uint32(i), name}] = true
		}
	}
	return nil
}

// same reports how a set differs from the oracle's judgement.
func (j *judged) differs(s *Set) string {
	for i := range s.Len() {
		if s.Visible(i) != j.visible[i] {
			return "visible"
		}
	}
	strips := slices.SortedFunc(maps.Keys(j.strips), compareStrips)
	if !slices.Equal(strips, s.Strips()) && len(strips)+len(s.Strips()) > 0 {
		return "strips"
	}
	if len(j.masks) != len(s.Masks()) {
		return "number of masks"
	}
	for _, m := range s.Masks() {
		v, _ := decode(m.Value)
		if j.masks[Strip{m.Ordinal, m.Name}] != canonical(v) {
			return "mask"
		}
	}
	if !slices.IsSortedFunc(s.Masks(), compareMasks) {
		return "order of masks"
	}
	return ""
}

// decode reads one strict JSON document into maps; numbers keep their text.
func decode(text []byte) (any, bool) {
	if !jsontext.Value(bytes.Clone(text)).IsValid() || depth(text) > element.MaxDepth+1 {
		return nil, false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if err := dec.Decode(&tree); err != nil {
		return nil, false
	}
	return tree, true
}

func depth(text []byte) int {
	deepest := 0
	dec := jsontext.NewDecoder(bytes.NewReader(text))
	for {
		if _, err := dec.ReadToken(); err != nil {
			return deepest
		}
		deepest = max(deepest, dec.StackDepth())
	}
}

// canonical writes a decoded value so that equal values are equal texts.
func canonical(v any) string {
	switch v := v.(type) {
	case json.Number:
		return canonicalNumber(string(v))
	case string:
		text, _ := json.Marshal(v)
		return string(text)
	case []any:
		parts := make([]string, len(v))
		for i := range v {
			parts[i] = canonical(v[i])
		}
		return "[" + strings.Join(parts, ",") + "]"
	case map[string]any:
		var parts []string
		for _, name := range slices.Sorted(maps.Keys(v)) {
			parts = append(parts, canonical(name)+":"+canonical(v[name]))
		}
		return "{" + strings.Join(parts, ",") + "}"
	case bool:
		if v {
			return "true"
		}
		return "false"
	default:
		return "null"
	}
}

func canonicalNumber(s string) string {
	mantissa, exponent, _ := strings.Cut(strings.ToLower(s), "e")
	exp := new(big.Int)
	if exponent != "" {
		exp.SetString(strings.TrimPrefix(exponent, "+"), 10)
	}
	sign := ""
	if strings.HasPrefix(mantissa, "-") {
		sign, mantissa = "-", mantissa[1:]
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole+fraction, "0")
	exp.Sub(exp, big.NewInt(int64(len(fraction))))
	short := strings.TrimRight(digits, "0")
	exp.Add(exp, big.NewInt(int64(len(digits)-len(short))))
	if short == "" {
		return "0"
	}
	return sign + short + "e" + exp.String()
}
