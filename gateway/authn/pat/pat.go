// Package pat makes and reads personal access tokens as they travel (access
// specification, section 4): "mst_", 32 random bytes in base62, and six
// characters of checksum. Scanners of secrets find them by the expression
//
//	mst_[0-9A-Za-z]{49}
//
// and tell them from other text by the checksum, without asking anybody. What is
// stored of a token is its digest alone; which digests are good, and for whom,
// is the registry's.
package pat

import (
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"fmt"
	"hash/crc32"
	"log/slog"
	"strings"
)

const (
	// Scheme begins every token.
	Scheme = "mst_"
	// Length is the length of a whole token in bytes, all of them ASCII.
	Length = len(Scheme) + randomLength + checkLength
	// PrefixLength is how many characters after Scheme people recognise a token by.
	PrefixLength = 8

	randomBytes  = 32
	randomLength = 43 // the digits of 2^256-1 in base 62
	checkLength  = 6  // the digits of 2^32-1 in base 62

	// alphabet is in the order of ASCII, so that texts of one length compare as
	// the numbers that they stand for.
	alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	// largest is 2^256-1, beyond which no text stands for 32 bytes.
	largest = "yhjskwdA6OZ1AL1YmHWZWm8LLG7HjnuCA2j5rOw8Xp1"
)

// The reasons why a text is no token. Neither holds anything of the text.
var (
	// ErrShape is a text of another length, beginning or alphabet.
	ErrShape = fmt.Errorf("is no personal access token: that is %s and %d letters and digits", Scheme, Length-len(Scheme))
	// ErrChecksum is a text of the right shape that was cut, mistyped or made up.
	ErrChecksum = errors.New("is a personal access token with a mistake in it, or no whole one: its last six characters do not fit the rest")
)

// Token is one token. It shows itself to nobody but by Reveal. The zero value is
// no token.
type Token struct {
	raw string
}

// New makes a token out of fresh randomness.
func New() Token {
	var seed [randomBytes]byte
	_, _ = rand.Read(seed[:]) // never fails: the program would end instead
	return of(seed)
}

// of is the token of 32 bytes.
func of(seed [randomBytes]byte) Token {
	var text [randomLength]byte
	limbs := seed // a number, the most significant byte first
	for i := len(text) - 1; i >= 0; i-- {
		rest := 0
		for j := range limbs {
			rest = rest<<8 | int(limbs[j])
			limbs[j] = byte(rest / len(alphabet))
			rest %= len(alphabet)
		}
		text[i] = alphabet[rest]
	}
	random := string(text[:])
	return Token{Scheme + random + checksum(random)}
}

// checksum is the CRC-32 (IEEE) of the random part as it is written, in base 62.
func checksum(random string) string {
	sum := uint64(crc32.ChecksumIEEE([]byte(random)))
	var text [checkLength]byte
	for i := len(text) - 1; i >= 0; i-- {
		text[i] = alphabet[sum%uint64(len(alphabet))]
		sum /= uint64(len(alphabet))
	}
	return string(text[:])
}

// Is reports whether a bearer token means to be a personal access token, good or
// not, rather than a JWT: those never begin so.
func Is(raw string) bool { return strings.HasPrefix(raw, Scheme) }

// Parse reads a token as it was sent. The error is ErrShape or ErrChecksum. A
// token that is read is one that New can have made; whether it did, and for
// whom, only the digest tells. How long it takes helps nobody to guess: the
// checksum is no secret, and what is looked up is the digest.
func Parse(raw string) (Token, error) {
	if len(raw) != Length || !Is(raw) {
		return Token{}, ErrShape
	}
	for i := len(Scheme); i < len(raw); i++ {
		if c := raw[i]; (c < '0' || c > '9') && (c < 'A' || c > 'Z') && (c < 'a' || c > 'z') {
			return Token{}, ErrShape
		}
	}
	random := raw[len(Scheme) : len(Scheme)+randomLength]
	if random > largest || checksum(random) != raw[len(Scheme)+randomLength:] {
		return Token{}, ErrChecksum
	}
	return Token{raw}, nil
}

// Reveal returns the token as it is sent. It is shown to its owner once and goes
// nowhere else.
func (t Token) Reveal() string { return t.raw }

// Digest is what is stored and looked up: the SHA-256 of the token as it is sent.
func (t Token) Digest() [sha256.Size]byte { return sha256.Sum256([]byte(t.raw)) }

// Prefix is what people recognise a token by: PrefixLength characters, which tell
// 47 of its 256 bits.
func (t Token) Prefix() string {
	if t.raw == "" {
		return ""
	}
	return t.raw[len(Scheme) : len(Scheme)+PrefixLength]
}

// String shows the prefix alone.
func (t Token) String() string { return Scheme + t.Prefix() + "…" }

// GoString shows the prefix alone, also to %#v.
func (t Token) GoString() string { return t.String() }

// LogValue shows the prefix alone.
func (t Token) LogValue() slog.Value { return slog.StringValue(t.String()) }
