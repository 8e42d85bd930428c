package worker_test

import (
	"errors"
	"math"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"

	"github.com/muster-fleet/muster/workers/worker"
)

func parse(t testing.TB, kind worker.Kind, text string) worker.Element {
	t.Helper()
	e, err := worker.ParseElement(kind, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func TestElementAccessors(t *testing.T) {
	n := parse(t, worker.Nodes, `{"elementId":"\u0031","labels":["A","\u0042"],"properties":{"a\u0062":null,"c":[1]}}`)
	if n.ID() != "1" || !slices.Equal(n.Labels(), []string{"A", "B"}) || !n.HasLabel("B") || n.HasLabel("C") || n.Type() != "" || n.StartID() != "" {
		t.Error("a node is misread")
	}
	if v, ok := n.Property("ab"); !ok || v.Kind() != worker.Null {
		t.Error("null is not absent")
	}
	if v, ok := n.Property("missing"); ok || v.Kind() != worker.NoValue || v.Any() != nil {
		t.Error("absent is not null")
	}
	var names []string
	for name := range n.Properties() {
		names = append(names, name)
		break
	}
	if !slices.Equal(names, []string{"ab"}) {
		t.Error(names)
	}
	r := parse(t, worker.Relationships, `{"elementId":"r","type":"T","startNodeElementId":"1","endNodeElementId":"2","startNodeLabel":"A","properties":{}}`)
	if r.Type() != "T" || r.StartID() != "1" || r.EndID() != "2" || r.StartLabel() != "A" || r.EndLabel() != "" || !r.HasLabel("A") || r.HasLabel("B") || r.Labels() != nil {
		t.Error("a relationship is misread")
	}
	for _, bad := range []string{"", "{}", `{"elementId":"1","labels":[],"properties":{}} `, `[]`} {
		if _, err := worker.ParseElement(worker.Nodes, []byte(bad)); err == nil {
			t.Errorf("%q was taken", bad)
		}
	}
}

func TestValues(t *testing.T) {
	e := parse(t, worker.Nodes, `{"elementId":"1","labels":[],"properties":{"i":9007199254740993,"big":123456789012345678901234567890,"f":1.5,"huge":1e400,"s":"\ud83d\ude00","b":true,"o":{"a":[1,null]}}}`)
	at := func(name string) worker.Value { v, _ := e.Property(name); return v }
	if n, ok := at("i").Int(); !ok || n != 9007199254740993 {
		t.Error("int")
	}
	if _, ok := at("big").Int(); ok {
		t.Error("an integer that does not fit fits")
	}
	if n, ok := at("big").BigInt(); !ok || n.String() != "123456789012345678901234567890" {
		t.Error("big int")
	}
	if f, ok := at("f").Float(); !ok || f != 1.5 {
		t.Error("float")
	}
	if _, ok := at("huge").Float(); ok {
		t.Error("a number out of range is in range")
	}
	if n, ok := at("huge").Number(); !ok || n != "1e400" {
		t.Error("number")
	}
	if s, ok := at("s").Text(); !ok || s != "😀" {
		t.Error("text")
	}
	if b, ok := at("b").Bool(); !ok || !b {
		t.Error("bool")
	}
	for _, v := range []worker.Value{at("o"), {}} {
		_, a := v.Text()
		_, b := v.Bool()
		_, c := v.Int()
		_, d := v.Float()
		_, f := v.Number()
		_, g := v.BigInt()
		if a || b || c || d || f || g {
			t.Error("a value is of several types")
		}
	}
	if m, ok := at("o").Any().(map[string]any); !ok || len(m["a"].([]any)) != 2 || at("o").Kind() != worker.Object {
		t.Error("any")
	}
}

func TestVerdicts(t *testing.T) {
	var zero worker.Verdict
	if zero.Visible() || zero.Whole() || worker.Hide("x").Visible() || !worker.Keep().Whole() || worker.Strip("a").Whole() {
		t.Error("visibility")
	}
	if worker.Hide("x").Strip("a").Mask("b", 1).Visible() {
		t.Error("an edit shows a hidden element")
	}
	base := worker.Strip("a")
	_ = base.Strip("b")
	if c := base.Strip("c"); !slices.Equal(c.Strips(), []string{"a", "c"}) || !slices.Equal(base.Strips(), []string{"a"}) {
		t.Error("verdicts share memory")
	}
	for _, bad := range []any{[]int{1}, map[string]int{}, math.NaN(), math.Inf(1), float32(math.Inf(-1)), strings.Repeat("x", 2000), "\xff", struct{}{}} {
		if v := worker.Mask("p", bad); v.Err() == nil || v.Visible() {
			t.Errorf("%T is taken as a mask", bad)
		}
	}
	if worker.Fail(nil).Err() == nil || !errors.Is(worker.Fail(errors.ErrUnsupported).Err(), errors.ErrUnsupported) {
		t.Error("Fail")
	}
	if worker.Keep().Because("why").Reason() != "why" {
		t.Error("Because")
	}
}

func TestReasonsAreCut(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		s := rapid.String().Draw(rt, "s") + strings.Repeat(rapid.SampledFrom([]string{"x", "é", "😀", "\xff"}).Draw(rt, "c"), rapid.IntRange(0, 250).Draw(rt, "n"))
		r := worker.Hide(s).Reason()
		if len(r) > 200 || !utf8.ValidString(r) {
			rt.Fatalf("%d bytes, valid %t", len(r), utf8.ValidString(r))
		}
	})
}
