package element

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
)

func TestReadObject(t *testing.T) {
	doc := []byte(` {"uuid" : "x", "cl\u0061ss":"result","n":[1, 2]}` + "\n")
	members, err := ReadObject(doc, 1<<10)
	if err != nil {
		t.Fatal(err)
	}
	want := [][2]string{{"uuid", `"x"`}, {"class", `"result"`}, {"n", `[1, 2]`}}
	if len(members) != len(want) {
		t.Fatalf("%d members", len(members))
	}
	for i, m := range members {
		if m.Name != want[i][0] || string(m.Value) != want[i][1] {
			t.Errorf("%s: %s", m.Name, m.Value)
		}
		if !bytes.HasPrefix(doc[m.Offset:], m.Value) {
			t.Errorf("%s is not at %d", m.Name, m.Offset)
		}
	}
	for doc, what := range map[string]string{
		`{"a":"\ud800"}`: "half a surrogate pair", `{"a":"\ud800\u0041"}`: "half a surrogate pair", `{"a":"\x"}`: "not valid JSON",
		`{"a":` + strings.Repeat("[", MaxDepth) + strings.Repeat("]", MaxDepth) + `}`: "more than 1000",
		`{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`:     "more than 1000",
	} {
		if _, err := ReadObject([]byte(doc), 1<<20); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%.20q: %v, want %q", doc, err, what)
		}
	}
	for doc, offset := range map[string]int{
		``: 0, ` `: 1, `[]`: 0, `{"a":1,"a":2}`: 7, `{"a":1} x`: 8, "{\"a\":\"\xff\"}": 6,
		`{"a":{"b":1,"b":1}}`: 12, `{"a":01}`: 6, `{"a":1`: 6, `{"a":"` + string(make([]byte, 2000)) + `"}`: 1024,
	} {
		_, err := ReadObject([]byte(doc), 1<<10)
		var s *SyntaxError
		if !errors.As(err, &s) || s.Offset != offset {
			t.Errorf("%.20q: %v, want offset %d", doc, err, offset)
		}
	}
}

func FuzzReadObject(f *testing.F) {
	for _, s := range []string{`{}`, `{"a":1}`, ` {"a":{"b":[1]}} `, `{"a":1,"\u0061":1}`, `[]`, "{\"\xff\":1}", `{"a":1}x`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		members, err := ReadObject(doc, 1<<16)
		v := jsontext.Value(bytes.Clone(doc))
		want := len(doc) <= 1<<16 && v.IsValid() && v.Kind() == '{' && tooDeep(doc) < 0
		if (err == nil) != want {
			t.Fatalf("%q: %v, jsontext says %v", doc, err, want)
		}
		for _, m := range members {
			if !bytes.Equal(doc[m.Offset:m.Offset+len(m.Value)], m.Value) || !jsontext.Value(bytes.Clone(m.Value)).IsValid() {
				t.Fatalf("%q: member %q", doc, m.Name)
			}
		}
	})
}
