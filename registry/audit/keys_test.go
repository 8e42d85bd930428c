package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// testKeys are n keys, the newest first; the last one is always the same.
func testKeys(t testing.TB, n int) *Keys {
	t.Helper()
	var all [][]byte
	for i := n; i > 0; i-- {
		all = append(all, bytes.Repeat([]byte{byte(i)}, MinKey))
	}
	k, err := NewKeys(all...)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestParseKeys(t *testing.T) {
	a, b := bytes.Repeat([]byte{0xfb}, 32), bytes.Repeat([]byte{2}, 40)
	file := "# the newest\n" + hex.EncodeToString(a) + "\n\n  " + base64.StdEncoding.EncodeToString(b) + "\r\n"
	k, err := ParseKeys([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(a)
	if k.Current() != hex.EncodeToString(sum[:4]) || len(k.IDs()) != 2 || !k.Has(k.IDs()[1]) || k.Has("00000000") {
		t.Errorf("got %v", k)
	}
	for _, same := range []string{base64.RawStdEncoding.EncodeToString(a), base64.URLEncoding.EncodeToString(a), strings.ToUpper(hex.EncodeToString(a))} {
		again, err := ParseKeys([]byte(same))
		if err != nil || again.Current() != k.Current() {
			t.Errorf("%s: %v, %v", same, again, err)
		}
	}
	for name, c := range map[string]struct{ file, want string }{
		"nothing":            {"", "there is no key"},
		"remarks alone":      {"# none\n", "there is no key"},
		"a short key":        {hex.EncodeToString(a[:31]), "line 1 has 31 bytes"},
		"all mistakes":       {"abc$\n" + hex.EncodeToString(a[:16]), "line 2 has 16 bytes"},
		"no encoding":        {"hunter2, hunter2, hunter2, hunter2", "line 1 is neither hex nor base64"},
		"twice":              {hex.EncodeToString(a) + "\n" + base64.StdEncoding.EncodeToString(a), "key 2 is there twice"},
		"too many":           {manyKeys(MaxKeys + 1), "at most 64"},
		"bits are left over": {strings.Repeat("A", 42) + "B", "neither hex nor base64"},
	} {
		_, err := ParseKeys([]byte(c.file))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %s", name, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: the error has the key: %v", name, err)
		}
	}
	if _, err := ParseKeys([]byte(manyKeys(MaxKeys))); err != nil {
		t.Error(err)
	}
}

func manyKeys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, "%064x\n", i+1)
	}
	return b.String()
}

func TestNewKey(t *testing.T) {
	a, b := NewKey(), NewKey()
	k, err := ParseKeys([]byte(a + b))
	if err != nil || len(k.IDs()) != 2 {
		t.Fatalf("%v, %v", k, err)
	}
}

// The mac is what anybody can compute who has the key.
func TestMACIsHMAC(t *testing.T) {
	k := testKeys(t, 2)
	r := testRow(3)
	prev := bytes.Repeat([]byte{9}, Size)
	got := k.Seal(prev, &r)
	h := hmac.New(sha256.New, bytes.Repeat([]byte{2}, MinKey))
	h.Write(r.encode(nil, prev))
	if want := h.Sum(nil); !bytes.Equal(got, want) || r.KeyID != k.Current() || len(got) != Size {
		t.Errorf("got %x under %s, want %x", got, r.KeyID, want)
	}
	var none *Keys
	got = none.Seal(prev, &r)
	if want := sha256.Sum256(r.encode(nil, prev)); !bytes.Equal(got, want[:]) || r.KeyID != "" {
		t.Errorf("without a key: %x under %q", got, r.KeyID)
	}
	r.KeyID = k.IDs()[1]
	if _, ok := k.MAC(prev, &r); !ok {
		t.Error("an older key does not verify")
	}
	r.KeyID = "ffffffff"
	if _, ok := k.MAC(prev, &r); ok {
		t.Error("a key that is not there does")
	}
}

// No way of printing shows a key.
func TestKeysAreNotPrinted(t *testing.T) {
	key := bytes.Repeat([]byte("A"), MinKey)
	k, err := NewKeys(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d", "%q"} {
		if got := fmt.Sprintf(verb, k); strings.Contains(got, "AAAA") || strings.Contains(got, "4141") || strings.Contains(got, "65 65") {
			t.Errorf("%s shows %s", verb, got)
		}
	}
}

func TestHeads(t *testing.T) {
	k, older := testKeys(t, 2), testKeys(t, 1)
	h := Head{Number: 1000, MAC: bytes.Repeat([]byte{7}, Size), At: testRow(1).At}
	older.SignHead(&h)
	if err := k.CheckHead(&h); err != nil {
		t.Errorf("a head of an older key: %v", err)
	}
	if err := (*Keys)(nil).CheckHead(&h); err != ErrUnknownKey {
		t.Errorf("without its key: %v", err)
	}
	for name, change := range map[string]func(*Head){
		"number":    func(h *Head) { h.Number++ },
		"mac":       func(h *Head) { h.MAC = bytes.Repeat([]byte{8}, Size) },
		"time":      func(h *Head) { h.At = h.At.Add(1000) },
		"key":       func(h *Head) { h.KeyID = k.Current() },
		"no key":    func(h *Head) { h.KeyID = "" },
		"signature": func(h *Head) { h.Signature = nil },
	} {
		other := h
		change(&other)
		if err := k.CheckHead(&other); err == nil {
			t.Errorf("another %s is not noticed", name)
		}
	}
	back, err := ParseHead(h.String())
	if err != nil || back.Number != h.Number || !bytes.Equal(back.MAC, h.MAC) {
		t.Errorf("%s became %v, %v", h, back, err)
	}
	for _, bad := range []string{"", "1", "1:", "1:aa", ":" + strings.Repeat("a", 64), "0:" + strings.Repeat("a", 64), "1:" + strings.Repeat("g", 64), "x" + h.String()} {
		if _, err := ParseHead(bad); err == nil {
			t.Errorf("%q is taken for a head", bad)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add([]byte(NewKey()))
	f.Add([]byte("# a\n" + manyKeys(2)))
	f.Fuzz(func(t *testing.T, data []byte) {
		k, err := ParseKeys(data)
		if (k == nil) == (err == nil) {
			t.Fatalf("%v and %v", k, err)
		}
		if k != nil && (k.Current() == "" || !k.Has(k.Current())) {
			t.Fatalf("no newest key in %v", k)
		}
	})
}

func FuzzParseHead(f *testing.F) {
	f.Add(Head{Number: 12, MAC: make([]byte, Size)}.String())
	f.Fuzz(func(t *testing.T, s string) {
		h, err := ParseHead(s)
		if err != nil {
			return
		}
		again, err := ParseHead(h.String())
		if err != nil || again.Number != h.Number || !bytes.Equal(again.MAC, h.MAC) {
			t.Fatalf("%q: %v, %v", s, again, err)
		}
	})
}
