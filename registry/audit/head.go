package audit

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"
)

// Segment is after how many rows a head is stored: rows whose number is a multiple
// of it end a segment.
const Segment = 1000

// Head is the end of a chain at some time: whoever keeps Number and MAC elsewhere
// finds out when rows up to it were cut off or replaced.
type Head struct {
	// Number and MAC are those of the last row.
	Number int64
	MAC    []byte
	// At is when it was signed, in microseconds.
	At time.Time
	// KeyID and Signature are of the key that signed; KeyID is empty without one.
	KeyID     string
	Signature []byte
}

// headForm begins every encoding of a head; no encoding of a row begins so.
const headForm = "muster audit head 1\n"

func (h *Head) encode() []byte {
	b := text(number([]byte(headForm), h.Number), h.MAC)
	return text(number(b, h.At.UnixMicro()), h.KeyID)
}

// SignHead signs a head with the newest key.
func (k *Keys) SignHead(h *Head) {
	h.KeyID = k.Current()
	h.Signature, _ = k.headSignature(h)
}

func (k *Keys) headSignature(h *Head) ([]byte, bool) {
	sum, ok := k.hash(h.KeyID)
	if !ok {
		return nil, false
	}
	// A hash never fails to take what is written to it.
	_, _ = sum.Write(h.encode())
	return sum.Sum(nil), true
}

// ErrUnknownKey tells that a key that was used is not among those given.
var ErrUnknownKey = errors.New("the key is not in the key file")

// CheckHead says whether a head's signature holds: nil, ErrUnknownKey, or what is
// wrong.
func (k *Keys) CheckHead(h *Head) error {
	want, ok := k.headSignature(h)
	if !ok {
		return ErrUnknownKey
	}
	if !bytes.Equal(want, h.Signature) {
		return errors.New("the signature does not fit")
	}
	return nil
}

// String writes a head as people keep it: N:HASH, the hash in hex.
func (h Head) String() string {
	return strconv.FormatInt(h.Number, 10) + ":" + hex.EncodeToString(h.MAC)
}

// ParseHead reads what String writes. Number and MAC are set, and nothing else.
func ParseHead(s string) (Head, error) {
	n, sum, ok := strings.Cut(s, ":")
	num, err := strconv.ParseInt(n, 10, 64)
	mac, hexErr := hex.DecodeString(sum)
	if !ok || err != nil || num < 1 || hexErr != nil || len(mac) != Size {
		return Head{}, fmt.Errorf("%.100q is not N:HASH: a row's number, a colon and %d hex digits", s, 2*Size)
	}
	return Head{Number: num, MAC: mac}, nil
}
