package audit

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"strings"
)

const (
	// MinKey is the least length of a key, in bytes.
	MinKey = 32
	// MaxKeys is how many keys a file may hold.
	MaxKeys = 64
	// Size is the length of a mac, in bytes.
	Size = sha256.Size
)

// Keys are the keys of a chain, the newest first, which is the one that new rows
// are chained with; the others verify what they have chained. A nil *Keys chains
// without a key: then whoever can write to the store can also make the macs. It is
// safe for concurrent use; nothing prints it.
type Keys struct {
	ids    []string
	secret map[string][]byte
}

// NewKeys makes Keys of the bytes of each key, the newest first. All mistakes are
// reported at once, and no part of a key is.
func NewKeys(keys ...[]byte) (*Keys, error) {
	if len(keys) == 0 {
		return nil, errors.New("there is no key")
	}
	if len(keys) > MaxKeys {
		return nil, fmt.Errorf("there are %d keys, at most %d are taken", len(keys), MaxKeys)
	}
	k := &Keys{secret: make(map[string][]byte, len(keys))}
	var all []error
	for i, key := range keys {
		id := keyID(key)
		switch {
		case len(key) < MinKey:
			all = append(all, fmt.Errorf("key %d has %d bytes, at least %d are needed", i+1, len(key), MinKey))
			continue
		case k.secret[id] != nil && bytes.Equal(k.secret[id], key):
			all = append(all, fmt.Errorf("key %d is there twice", i+1))
			continue
		case k.secret[id] != nil:
			all = append(all, fmt.Errorf("key %d has the id %s of another one; make a new key", i+1, id))
			continue
		}
		k.ids, k.secret[id] = append(k.ids, id), bytes.Clone(key)
	}
	if err := errors.Join(all...); err != nil {
		return nil, err
	}
	return k, nil
}

// ParseKeys reads keys, one a line, in hex or base64; empty lines and such as
// begin with # count for nothing. A line that is hex throughout is hex.
func ParseKeys(data []byte) (*Keys, error) {
	var keys [][]byte
	var all []error
	n := 0
	for line := range strings.Lines(string(data)) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		key, err := decodeKey(line)
		if err == nil && len(key) < MinKey {
			err = fmt.Errorf("has %d bytes, at least %d are needed", len(key), MinKey)
		}
		if err != nil {
			all = append(all, fmt.Errorf("line %d %w", n, err))
			continue
		}
		keys = append(keys, key)
	}
	if len(all) > 0 {
		return nil, errors.Join(all...)
	}
	return NewKeys(keys...)
}

// decodeKey never quotes the line: it is a key, or nearly one.
func decodeKey(line string) ([]byte, error) {
	if key, err := hex.DecodeString(line); err == nil {
		return key, nil
	}
	plain := strings.TrimRight(strings.NewReplacer("-", "+", "_", "/").Replace(line), "=")
	key, err := base64.RawStdEncoding.Strict().DecodeString(plain)
	if err != nil {
		return nil, errors.New("is neither hex nor base64")
	}
	return key, nil
}

// keyID is the first 8 hex digits of a key's SHA-256, which give nothing of the
// key away.
func keyID(key []byte) string {
	sum := sha256.Sum256(key)
	return hex.EncodeToString(sum[:4])
}

// NewKey makes a key and returns it as a line for a key file.
func NewKey() string {
	key := make([]byte, MinKey)
	// Since Go 1.24 it never fails: it ends the process instead.
	_, _ = rand.Read(key)
	return base64.StdEncoding.EncodeToString(key) + "\n"
}

// Current is the id of the key that new rows are chained with; empty without one.
func (k *Keys) Current() string {
	if k == nil {
		return ""
	}
	return k.ids[0]
}

// IDs are the ids of all keys, the newest first.
func (k *Keys) IDs() []string {
	if k == nil {
		return nil
	}
	return append([]string(nil), k.ids...)
}

// Has reports whether macs of this key can be checked; the empty id stands for a
// chain without a key.
func (k *Keys) Has(id string) bool { return id == "" || k != nil && k.secret[id] != nil }

// Seal puts a row behind the one with the mac prev (empty for the first of a
// chain): it sets the row's KeyID to that of the newest key and returns the mac,
// of Size bytes. Row and number have to be final.
func (k *Keys) Seal(prev []byte, r *Row) []byte {
	r.KeyID = k.Current()
	mac, _ := k.MAC(prev, r)
	return mac
}

// MAC returns the mac of a row with the key that it names; ok is false when that
// is not among the keys.
func (k *Keys) MAC(prev []byte, r *Row) (mac []byte, ok bool) {
	h, ok := k.hash(r.KeyID)
	if !ok {
		return nil, false
	}
	// A hash never fails to take what is written to it.
	_, _ = h.Write(r.encode(nil, prev))
	return h.Sum(nil), true
}

// hash returns a new HMAC-SHA-256 with a key, or SHA-256 for the empty id.
func (k *Keys) hash(id string) (hash.Hash, bool) {
	if id == "" {
		return sha256.New(), true
	}
	if k == nil || k.secret[id] == nil {
		return nil, false
	}
	return hmac.New(sha256.New, k.secret[id]), true
}

// String tells the ids and nothing else.
func (k *Keys) String() string {
	if k == nil {
		return "no key"
	}
	return "keys " + strings.Join(k.ids, ", ")
}

// Format writes String for every verb, so that no log shows a key.
func (k *Keys) Format(f fmt.State, _ rune) {
	// fmt.State reports a failed write through the printing function itself.
	_, _ = f.Write([]byte(k.String()))
}
