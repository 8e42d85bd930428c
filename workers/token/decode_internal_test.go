package token

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"pgregory.net/rapid"
)

// object draws a JSON object without duplicate names, as text.
func object(depth int) *rapid.Generator[string] {
	return rapid.Custom(func(t *rapid.T) string {
		names := rapid.SliceOfNDistinct(rapid.String(), 0, 4, rapid.ID[string]).Draw(t, "names")
		parts := make([]string, 0, len(names))
		for _, n := range names {
			parts = append(parts, quote(n)+":"+value(depth-1).Draw(t, "value"))
		}
		return "{" + strings.Join(parts, ",") + "}"
	})
}

func value(depth int) *rapid.Generator[string] {
	plain := rapid.OneOf(
		rapid.Map(rapid.String(), quote),
		rapid.Map(rapid.Float64Range(-1e9, 1e9), func(f float64) string { return fmt.Sprint(f) }),
		rapid.SampledFrom([]string{"null", "true", "false", "0", "[]", "{}"}),
	)
	if depth <= 0 {
		return plain
	}
	list := rapid.Map(rapid.SliceOfN(value(depth-1), 0, 3), func(v []string) string { return "[" + strings.Join(v, ",") + "]" })
	return rapid.OneOf(plain, object(depth), list)
}

func quote(s string) string {
	b, err := json.Marshal(strings.ToValidUTF8(s, "?"))
	if err != nil {
		panic(err)
	}
	return string(b)
}

func names(data string) ([]string, error) {
	var out []string
	err := eachMember([]byte(data), func(m member) error {
		out = append(out, m.name)
		return nil
	})
	return out, err
}

func TestStrictObjectsAreReadInOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := object(3).Draw(t, "object")
		got, err := names(text)
		if err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		var plain map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &plain); err != nil || len(plain) != len(got) {
			t.Fatalf("%s: %d members, another reader sees %d (%v)", text, len(got), len(plain), err)
		}
	})
}

func TestDuplicateNamesAreRefusedAtAnyDepth(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.String().Draw(t, "name")
		twice := "{" + quote(name) + ":[1,2]," + escape(strings.ToValidUTF8(name, "?")) + ":3}"
		for range rapid.IntRange(0, 5).Draw(t, "depth") {
			twice = wrap(t, twice)
		}
		if _, err := names(twice); err == nil || !strings.Contains(err.Error(), "duplicate name") {
			t.Fatalf("%s: %v", twice, err)
		}
	})
}

func wrap(t *rapid.T, inner string) string {
	return fmt.Sprintf(rapid.SampledFrom([]string{`{"a":%s}`, `{"a":[%s]}`, `{"a":[0,{"b":%s}]}`}).Draw(t, "wrap"), inner)
}

// escape writes every UTF-16 unit of s as an escape: the same name in other bytes.
func escape(s string) string {
	var b strings.Builder
	b.WriteByte('"')
	for _, r := range s {
		if r > 0xffff {
			r -= 0x10000
			fmt.Fprintf(&b, `\u%04x\u%04x`, 0xd800+r>>10, 0xdc00+r&0x3ff)
			continue
		}
		fmt.Fprintf(&b, `\u%04x`, r)
	}
	b.WriteByte('"')
	return b.String()
}

func TestTrailingBytesAreRefused(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := object(2).Draw(t, "object")
		tail := rapid.SliceOfN(rapid.Byte(), 1, 4).Draw(t, "tail")
		if len(bytes.Trim(tail, " \t\r\n")) == 0 {
			t.Skip("white space may follow")
		}
		if _, err := names(text + string(tail)); err == nil {
			t.Fatalf("%s%q is taken", text, tail)
		}
	})
}

func TestDatesAreNumbers(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sec := rapid.Int64Range(0, maxDate).Draw(t, "seconds")
		form := rapid.SampledFrom([]string{"%d", "%d.0", "%de0", "%d.25"}).Draw(t, "form")
		var c claims
		if err := eachMember(fmt.Appendf(nil, `{"exp":`+form+`}`, sec), c.read); err != nil {
			if form == "%d.25" && sec == maxDate {
				t.Skip("beyond the last date")
			}
			t.Fatal(err)
		}
		if !c.hasExp || c.exp.Unix() != sec {
			t.Fatalf("%d became %v", sec, c.exp)
		}
	})
}

func TestHeadersThatAreTakenHoldOneToken(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := rapid.OneOf(
			rapid.String(),
			rapid.StringMatching(`[Bb]earer {1,2}[A-Za-z0-9._~+/-]{0,20}={0,2}[ ,a-z]{0,2}`),
		).Draw(t, "header")
		raw, err := FromValues([]string{text})
		if err != nil {
			return
		}
		if !strings.HasSuffix(text, raw) || strings.ContainsAny(raw, " ,\t\r\n\"") || !utf8.ValidString(raw) {
			t.Fatalf("%q gave %q", text, raw)
		}
		if !strings.EqualFold(strings.TrimRight(strings.TrimSuffix(text, raw), " "), "bearer") {
			t.Fatalf("%q gave %q", text, raw)
		}
	})
}

func TestARenewedSetKeepsPointersAndMarksWhatIsGone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		draw := func(name string) keySet {
			set := keySet{}
			for _, id := range rapid.SliceOfNDistinct(rapid.IntRange(0, 9), 0, 6, rapid.ID[int]).Draw(t, name) {
				k := &key{kid: fmt.Sprint(id % 4), identity: fmt.Sprint(id)}
				set[k.kid] = append(set[k.kid], k)
			}
			return set
		}
		old, next := draw("old"), draw("next")
		want := map[string]int{}
		for kid, keys := range next {
			want[kid] = len(keys)
		}
		got := renew(old, next)
		for kid, keys := range old {
			for _, k := range keys {
				if stays := slices.Contains(got[kid], k); stays == k.withdrawn.Load() {
					t.Fatalf("key %s stays %v, withdrawn %v", k.identity, stays, k.withdrawn.Load())
				}
			}
		}
		for kid, n := range want {
			if len(got[kid]) != n {
				t.Fatalf("kid %s has %d keys, want %d", kid, len(got[kid]), n)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		raw := base64.RawURLEncoding.EncodeToString(header) + "." + base64.RawURLEncoding.EncodeToString(payload) + ".AAAA"
		tok, bad := parse(raw)
		if bad != nil {
			if bad.Code != CodeInvalid || bad.Detail == "" {
				t.Fatalf("%+v", bad)
			}
			return
		}
		if !json.Valid(header) || !json.Valid(payload) || !utf8.Valid(header) || !utf8.Valid(payload) {
			t.Fatalf("%q %q is taken", header, payload)
		}
		// What was read must be what a plain reader sees, which knows no
		// difference between cases and so is asked name by name.
		var plain map[string]any
		if err := json.Unmarshal(payload, &plain); err != nil {
			t.Fatal(err)
		}
		if iss, ok := plain["iss"].(string); ok != (tok.claims.iss != "") && iss != "" || iss != tok.claims.iss {
			t.Fatalf("iss %q, another reader sees %q", tok.claims.iss, iss)
		}
		is := Issuer{Audience: "muster"}
		if tok.checkHeader() == nil && tok.checkClaims(&is, time.Unix(1_000_000, 0), DefaultLeeway) == nil {
			if p := tok.principal(&is); p.Subject == "" || !p.HasAudience("muster") {
				t.Fatalf("%+v", p)
			}
		}
	})
}

func FuzzParseRaw(f *testing.F) {
	f.Fuzz(func(t *testing.T, raw string) {
		tok, bad := parse(raw)
		if bad != nil {
			return
		}
		parts := strings.Split(raw, ".")
		again := base64.RawURLEncoding.EncodeToString(tok.signature)
		if len(parts) != 3 || tok.signingInput != parts[0]+"."+parts[1] || again != parts[2] {
			t.Fatalf("%q was read as %q and %q", raw, tok.signingInput, again)
		}
	})
}

func FuzzParseKeys(f *testing.F) {
	f.Fuzz(func(t *testing.T, document []byte) {
		set, err := parseKeys(document)
		if err != nil {
			return
		}
		count := 0
		for kid, keys := range set {
			for _, k := range keys {
				count++
				if kid == "" || k.kid != kid || k.public == nil || k.identity == "" {
					t.Fatalf("%+v", k)
				}
				if err := checkStrength(k.public, ""); err != nil {
					t.Fatal(err)
				}
			}
		}
		if count == 0 || !json.Valid(document) {
			t.Fatalf("%q makes a set of %d keys", document, count)
		}
	})
}

func TestReasonsNeverQuoteTheText(t *testing.T) {
	for _, text := range []string{`{"secret":"s3cr3t"`, `{"a":"s3cr3t`, "{\"s3cr3t\":\"\xff\"}", `{"s3cr3t":1,"s3cr3t":2}`, `{"s3cr3t":s3cr3t}`, `s3cr3t`} {
		_, err := names(text)
		if err == nil || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if err := reason(errors.New("s3cr3t")); strings.Contains(err.Error(), "s3cr3t") {
		t.Error(err)
	}
}
