package audit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// decode is the inverse of encode. That there is one is what shows that no two
// rows encode alike.
func decode(b []byte) (prev []byte, r Row, err error) {
	rest, ok := bytes.CutPrefix(b, []byte(form))
	if !ok {
		return nil, Row{}, errors.New("another form")
	}
	number := func() int64 {
		if len(rest) < 8 {
			err = errors.New("too short for a number")
			return 0
		}
		n := int64(binary.BigEndian.Uint64(rest))
		rest = rest[8:]
		return n
	}
	text := func() []byte {
		n := number()
		if n < 0 || n > int64(len(rest)) {
			err = errors.New("too short for a text")
			return nil
		}
		t := rest[:n:n]
		rest = rest[n:]
		return t
	}
	optional := func() []byte {
		if len(rest) == 0 || rest[0] > 1 {
			err = errors.New("neither there nor not")
			return nil
		}
		there := rest[0] == 1
		rest = rest[1:]
		if !there {
			return nil
		}
		return append([]byte{}, text()...)
	}
	prev = text()
	r.Number, r.ID, r.Revision, r.At = number(), string(text()), number(), time.UnixMicro(number()).UTC()
	for _, s := range []*string{
		&r.Subject, &r.Issuer, &r.Username, &r.TokenID, &r.UserID, &r.RequestID, &r.Address, &r.Action, &r.Resource,
	} {
		*s = string(text())
	}
	r.Before, r.After = optional(), optional()
	r.Result, r.KeyID = string(text()), string(text())
	if err == nil && len(rest) > 0 {
		err = errors.New("bytes are left")
	}
	return prev, r, err
}

func drawRow(t *rapid.T, label string) Row {
	text := rapid.OneOf(rapid.String(), rapid.SampledFrom([]string{"", "a", "\x00", "ok", "worker:1"}))
	data := rapid.OneOf(rapid.Just([]byte(nil)), rapid.Just([]byte{}), rapid.SliceOf(rapid.Byte()))
	s := func(what string) string { return text.Draw(t, label+what) }
	return Row{
		Number: rapid.Int64().Draw(t, label+"number"), ID: s("id"), Revision: rapid.Int64().Draw(t, label+"revision"),
		At:      time.UnixMicro(rapid.Int64Range(-1<<50, 1<<52).Draw(t, label+"at")).UTC(),
		Subject: s("subject"), Issuer: s("issuer"), Username: s("username"), TokenID: s("token"), UserID: s("user"),
		RequestID: s("request"), Address: s("address"), Action: s("action"), Resource: s("resource"),
		Before: data.Draw(t, label+"before"), After: data.Draw(t, label+"after"), Result: s("result"), KeyID: s("key"),
	}
}

// Every column is in the encoding, and can be told from its neighbours.
func TestEncodingHasAnInverse(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		r, prev := drawRow(t, ""), rapid.SliceOf(rapid.Byte()).Draw(t, "prev")
		gotPrev, got, err := decode(r.encode(nil, prev))
		if err != nil || !bytes.Equal(gotPrev, prev) || !reflect.DeepEqual(got, r) {
			t.Fatalf("%+v became %+v, %v", r, got, err)
		}
	})
}

// A row of which any one column is another has another mac.
func TestEveryColumnCounts(t *testing.T) {
	keys := testKeys(t, 1)
	r := testRow(7)
	r.Before, r.After = []byte("{}"), []byte("{}")
	base, _ := keys.MAC([]byte("prev"), &r)
	v := reflect.ValueOf(&r).Elem()
	for i := range v.NumField() {
		name, was := v.Type().Field(i).Name, v.Field(i).Interface()
		var others []any
		switch x := was.(type) {
		case int64:
			others = []any{x + 1, -x}
		case string:
			others = []any{x + "x", "", x + "\x00"}
		case time.Time:
			others = []any{x.Add(time.Microsecond), x.Add(-time.Hour)}
		case []byte:
			others = []any{[]byte(nil), []byte{}, []byte("{ }")}
		default:
			t.Fatalf("a column of type %T", x)
		}
		if name == "KeyID" {
			continue // another key, not another text
		}
		for _, other := range others {
			if reflect.DeepEqual(other, was) {
				continue
			}
			v.Field(i).Set(reflect.ValueOf(other))
			if got, _ := keys.MAC([]byte("prev"), &r); bytes.Equal(got, base) {
				t.Errorf("%s %v gives the mac of %v", name, other, was)
			}
		}
		v.Field(i).Set(reflect.ValueOf(was))
	}
	if got, _ := keys.MAC(nil, &r); bytes.Equal(got, base) {
		t.Error("the mac before does not count")
	}
	if got, _ := keys.MAC([]byte("prev"), &r); !bytes.Equal(got, base) {
		t.Error("the same row has another mac")
	}
}

// FuzzEncoding: what decodes encodes to the same bytes again, so that two rows
// never share an encoding.
func FuzzEncoding(f *testing.F) {
	r := testRow(1)
	f.Add(r.encode(nil, nil))
	r.Before, r.After = []byte{}, []byte(`{"a":1}`)
	f.Add(r.encode(nil, []byte("0123456789abcdef0123456789abcdef")))
	f.Add([]byte(form))
	f.Fuzz(func(t *testing.T, data []byte) {
		prev, r, err := decode(data)
		if err != nil {
			return
		}
		if got := r.encode(nil, prev); !bytes.Equal(got, data) {
			t.Fatalf("%q and %q are the same row", data, got)
		}
	})
}

// Texts that run into each other when simply joined do not.
func TestNeighboursDoNotRunTogether(t *testing.T) {
	a, b := testRow(1), testRow(1)
	a.Action, a.Resource = "worker.registered", "worker:1"
	b.Action, b.Resource = "worker.registeredworker:", "1"
	if bytes.Equal(a.encode(nil, nil), b.encode(nil, nil)) {
		t.Error("they encode alike")
	}
}

func testRow(n int64) Row {
	return Row{
		Number: n, ID: "0190c6a0-0000-7000-8000-000000000001", Revision: n,
		At:      time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC).Add(time.Duration(n) * time.Millisecond),
		Subject: "s-1", Issuer: "https://issuer.test", Username: "alice", RequestID: "r-1", Address: "127.0.0.1",
		Action: "worker.updated", Resource: "worker:1", After: []byte(`{"name":"a"}`), Result: "ok",
	}
}
