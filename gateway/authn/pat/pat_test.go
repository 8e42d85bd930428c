package pat

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// The vectors were made by another program in another language.
func TestVectors(t *testing.T) {
	var low, high, counting [randomBytes]byte
	for i := range high {
		high[i], counting[i] = 255, byte(i)
	}
	for want, seed := range map[string][randomBytes]byte{
		"mst_00000000000000000000000000000000000000000002CZclj": low,
		"mst_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp13sRzl1": high,
		"mst_003aUlTJC7tjlCTQj2uNU3MFagCXG9LRKRcwGkBIDlf1Yo7hP": counting,
	} {
		got := of(seed)
		if got.Reveal() != want {
			t.Errorf("%x is written %s, want %s", seed, got.Reveal(), want)
		}
		if back, err := Parse(want); err != nil || back != got {
			t.Errorf("%s: %v", want, err)
		}
	}
	digest := of(counting).Digest()
	if got := hex.EncodeToString(digest[:]); got != "a3d232f0499ae580ab478f951b31de69d3678b87b7fa95d4dfb80fbbad37b235" {
		t.Errorf("the digest is %s", got)
	}
	if got := of(counting).Prefix(); got != "003aUlTJ" {
		t.Errorf("the prefix is %s", got)
	}
}

// What is written is the number of its bytes in base 62, and reads back.
func TestWhatIsWrittenIsRead(t *testing.T) {
	scanner := regexp.MustCompile(`^mst_[0-9A-Za-z]{49}$`)
	rapid.Check(t, func(t *rapid.T) {
		var seed [randomBytes]byte
		copy(seed[:], rapid.SliceOfN(rapid.Byte(), randomBytes, randomBytes).Draw(t, "seed"))
		tok := of(seed)
		raw := tok.Reveal()
		if len(raw) != Length || !scanner.MatchString(raw) || !Is(raw) {
			t.Fatalf("%s is not of the shape", raw)
		}
		number := new(big.Int)
		for _, c := range []byte(raw[len(Scheme) : len(Scheme)+randomLength]) {
			number.Mul(number, big.NewInt(int64(len(alphabet))))
			number.Add(number, big.NewInt(int64(strings.IndexByte(alphabet, c))))
		}
		if number.Cmp(new(big.Int).SetBytes(seed[:])) != 0 {
			t.Fatalf("%x is written as the number %x", seed, number)
		}
		if back, err := Parse(raw); err != nil || back != tok || back.Digest() != tok.Digest() {
			t.Fatalf("%s: %v", raw, err)
		}
	})
}

// A token in which one character is another, or that was cut, is none.
func TestMistakesAreFound(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		raw := []byte(New().Reveal())
		at := rapid.IntRange(len(Scheme), len(raw)-1).Draw(t, "at")
		c := alphabet[rapid.IntRange(0, len(alphabet)-1).Draw(t, "character")]
		if raw[at] == c {
			t.Skip("the same character")
		}
		raw[at] = c
		if _, err := Parse(string(raw)); !errors.Is(err, ErrChecksum) {
			t.Fatalf("%s: %v", raw, err)
		}
		if _, err := Parse(string(raw[:at])); !errors.Is(err, ErrShape) {
			t.Fatalf("%s: %v", raw[:at], err)
		}
	})
	good := New().Reveal()
	for name, raw := range map[string]string{
		"nothing": "", "a JWT": "eyJhbGciOiJSUzI1NiJ9.e30.c2ln", "only the beginning": Scheme, "blanks around": " " + good[1:],
		"another case of the beginning": "MST_" + good[4:], "more": good + "0", "a dash": good[:20] + "-" + good[21:], "no ASCII": good[:20] + "é" + good[22:],
	} {
		if _, err := Parse(raw); !errors.Is(err, ErrShape) {
			t.Errorf("%s: %v", name, err)
		}
	}
	// The number after the largest has a checksum that fits, and stands for 33 bytes.
	beyond := "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp2"
	if _, err := Parse(Scheme + beyond + checksum(beyond)); !errors.Is(err, ErrChecksum) {
		t.Errorf("more than 32 bytes: %v", err)
	}
}

func TestNewOnesDiffer(t *testing.T) {
	seen, prefixes := map[string]bool{}, map[string]bool{}
	for range 10_000 {
		tok := New()
		seen[tok.Reveal()], prefixes[tok.Prefix()] = true, true
	}
	if len(seen) != 10_000 || len(prefixes) < 9_990 {
		t.Errorf("of 10,000 tokens %d differ, and %d of their prefixes", len(seen), len(prefixes))
	}
}

// A token that is printed, logged or put into JSON by mistake does not tell
// itself.
func TestATokenKeepsItself(t *testing.T) {
	tok := New()
	var log bytes.Buffer
	slog.New(slog.NewTextHandler(&log, nil)).Info("made", "token", tok, "pointer", &tok)
	slog.New(slog.NewJSONHandler(&log, nil)).Info("made", "token", tok)
	fmt.Fprintf(&log, "%v %+v %#v %s %q", tok, tok, tok, tok, tok)
	written, err := json.Marshal(map[string]any{"token": tok})
	if err != nil {
		t.Fatal(err)
	}
	log.Write(written)
	if strings.Contains(log.String(), tok.Reveal()[len(Scheme)+PrefixLength:]) {
		t.Errorf("the token is told: %s", log.String())
	}
	if !strings.Contains(log.String(), tok.Prefix()) {
		t.Errorf("nobody can recognise it: %s", log.String())
	}
	var zero Token
	if zero.Prefix() != "" || zero.String() != "mst_…" {
		t.Errorf("the zero token is %s", zero)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(New().Reveal())
	f.Add("mst_00000000000000000000000000000000000000000002CZclj")
	f.Add("mst_yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp2000000")
	f.Add("mst_")
	f.Add("\xff")
	f.Fuzz(func(t *testing.T, raw string) {
		tok, err := Parse(raw)
		if err != nil {
			if tok != (Token{}) || strings.Contains(err.Error(), raw) && len(raw) > len(Scheme) {
				t.Fatalf("%q: %v with %v", raw, err, tok)
			}
			return
		}
		random := raw[len(Scheme) : len(Scheme)+randomLength]
		number := new(big.Int)
		for _, c := range []byte(random) {
			number.Mul(number, big.NewInt(62)).Add(number, big.NewInt(int64(strings.IndexByte(alphabet, c))))
		}
		var seed [randomBytes]byte
		if number.BitLen() > 8*randomBytes || of([randomBytes]byte(number.FillBytes(seed[:]))) != tok {
			t.Fatalf("%q was read as what it is not", raw)
		}
	})
}
