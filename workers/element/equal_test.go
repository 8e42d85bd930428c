package element

import (
	"bytes"
	"encoding/json"
	"math/big"
	"strings"
	"testing"

	"github.com/go-json-experiment/json/jsontext"
	"pgregory.net/rapid"
)

func TestEqual(t *testing.T) {
	big := strings.Repeat("9", 40)
	same := [][2]string{
		{`1.50`, `1.5`}, {`1.5`, `15e-1`}, {`1.5`, `0.015E2`}, {`0`, `-0`}, {`0`, `0.000e5`}, {`-0.0`, `0e999999999999999999999`},
		{`100`, `1e2`}, {`100`, `1E+2`}, {`0.001`, `1e-3`}, {`120`, `1.2e2`}, {`1e999999999`, `10e999999998`},
		{`1e` + big, `10e` + strings.Repeat("9", 39) + "8"}, {`1e-` + big, `0.1e-` + strings.Repeat("9", 39) + "8"},
		{`1e1` + strings.Repeat("0", 30), `10e` + strings.Repeat("9", 30)}, {`1e00000000000000000000005`, `100000`},
		{`"a"`, `"\u0061"`}, {`"/"`, `"\/"`}, {`"😀"`, `"\ud83d\ude00"`}, {`"\n"`, `"\u000a"`},
		{`[1, 2]`, `[1,2.0]`}, {`[]`, `[ ]`}, {`{}`, `{ }`}, {`{"a":1,"b":2}`, `{"b":2,"a":1}`},
		{`{"a":{"x":[1]}}`, ` { "\u0061" : { "x" : [ 1e0 ] } } `}, {`null`, ` null`}, {`true`, `true`},
		{`{` + many(60) + `}`, `{"x":0}`[:1] + reversed(60) + `}`},
	}
	for _, c := range same {
		if !Equal([]byte(c[0]), []byte(c[1])) || !Equal([]byte(c[1]), []byte(c[0])) {
			t.Errorf("%s and %s differ", c[0], c[1])
		}
	}
	other := [][2]string{
		{`1`, `2`}, {`1`, `-1`}, {`9007199254740993`, `9007199254740992`}, {`1.5`, `1.05`}, {`1e2`, `1e3`}, {`10`, `1`}, {`0.1`, `0.01`},
		{`1e` + big, `1e` + big[1:]}, {`1e` + big, `1e-` + big}, {`1e` + big, `1`}, {`1e1` + strings.Repeat("0", 30), `1e` + strings.Repeat("9", 30)},
		{`"a"`, `"A"`}, {`"é"`, `"e\u0301"`}, {`"1"`, `1`}, {`null`, `false`}, {`null`, `"null"`}, {`true`, `false`},
		{`[1,2]`, `[2,1]`}, {`[1]`, `[1,1]`}, {`[]`, `{}`}, {`{"a":1}`, `{"a":2}`}, {`{"a":1}`, `{"b":1}`}, {`{"a":1}`, `{"a":1,"b":1}`},
		{`{` + many(60) + `}`, `{` + strings.Replace(reversed(60), `"p5":0`, `"p5":1`, 1) + `}`},
		{`1`, `01`}, {`{"a":1,"a":1}`, `{"a":1,"a":1}`}, {``, ``}, {`1 1`, `1 1`}, {`nul`, `nul`},
	}
	for _, c := range other {
		if Equal([]byte(c[0]), []byte(c[1])) || Equal([]byte(c[1]), []byte(c[0])) {
			t.Errorf("%s and %s are equal", c[0], c[1])
		}
	}
}

func reversed(n int) string {
	parts := strings.Split(many(n), ",")
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ",")
}

// TestNumbersAgreeWithRationals compares with math/big on numbers that it can hold.
func TestNumbersAgreeWithRationals(t *testing.T) {
	number := rapid.StringMatching(`-?(0|[1-9][0-9]{0,6})(\.[0-9]{1,5})?([eE][+-]?[0-9]{1,2})?`)
	rapid.Check(t, func(t *rapid.T) {
		a, b := number.Draw(t, "a"), number.Draw(t, "b")
		if rapid.Bool().Draw(t, "same") {
			b = a + "0"
			if !strings.ContainsAny(a, ".eE") {
				b = a + ".0"
			} else if strings.ContainsAny(a, "eE") {
				b = strings.Replace(strings.Replace(a, "e", "0000e", 1), "E", "0000e", 1)
				if !strings.Contains(a, ".") {
					b = strings.Replace(b, "0000e", ".0e", 1)
				}
			}
		}
		x, ok := new(big.Rat).SetString(a)
		y, ok2 := new(big.Rat).SetString(b)
		if !ok || !ok2 {
			t.Skip("no rational")
		}
		if want := x.Cmp(y) == 0; Equal([]byte(a), []byte(b)) != want {
			t.Fatalf("Equal(%s, %s) = %v", a, b, !want)
		}
	})
}

// TestEqualSurvivesRewriting: what an encoder makes of a value is equal to it.
func TestEqualSurvivesRewriting(t *testing.T) {
	g := newGen(9)
	for range 20_000 {
		g.b.Reset()
		g.loose = true
		g.value(4)
		text := []byte(g.b.String())
		canonical := jsontext.Value(bytes.Clone(text))
		if !canonical.IsValid() {
			continue // duplicate names, made on purpose
		}
		if err := canonical.Compact(); err != nil {
			t.Fatal(err)
		}
		indented := jsontext.Value(bytes.Clone(text))
		if err := indented.Indent(); err != nil {
			t.Fatal(err)
		}
		if !Equal(text, canonical) || !Equal(indented, text) {
			t.Fatalf("%s differs from %s", text, indented)
		}
	}
}

func FuzzEqual(f *testing.F) {
	for _, s := range []string{`1e999999999`, `-0`, `{"a":[1,"\u0062"]}`, `"\ud83d\ude00"`, `[1.50]`, `nul`, `{"a":1,"a":1}`} {
		f.Add([]byte(s), []byte(s))
		f.Add([]byte(s), []byte(` `+s))
	}
	f.Fuzz(func(t *testing.T, a, b []byte) {
		got := Equal(a, b)
		if got != Equal(b, a) {
			t.Fatal("not symmetric")
		}
		x, okA := plain(a)
		y, okB := plain(b)
		if want := okA && okB && x == y; got != want {
			t.Fatalf("Equal(%q, %q) = %v, the slow way %v", a, b, got, want)
		}
	})
}

// plain writes a value in one canonical form, the slow way: names sorted,
// strings decoded, numbers as digits and exponent.
func plain(text []byte) (string, bool) {
	v := jsontext.Value(bytes.Clone(text))
	if !v.IsValid() || tooDeep(text) >= 0 {
		return "", false
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber()
	var tree any
	if dec.Decode(&tree) != nil {
		return "", false
	}
	out, err := json.Marshal(tidy(tree))
	return string(out), err == nil
}

func tidy(v any) any {
	switch v := v.(type) {
	case json.Number:
		return map[string]string{"\x00number": tidyNumber(string(v))}
	case []any:
		for i := range v {
			v[i] = tidy(v[i])
		}
	case map[string]any:
		for k := range v {
			v[k] = tidy(v[k])
		}
	case nil:
		return "\x00null"
	}
	return v
}

func tidyNumber(s string) string {
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
