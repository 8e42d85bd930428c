package fleet

import (
	"cmp"
	"encoding/base64"
	"errors"
	"strings"
	"unicode/utf8"

	"github.com/muster-fleet/muster/registry"
)

// cursor is a place in the order of a list: after the worker with this name and
// uuid, whether it is still there or not. So pages stay right while workers come
// and go.
type cursor struct {
	name string
	id   registry.WorkerID
}

const (
	// cursorVersion is the first byte, so that the form can change.
	cursorVersion = "1"
	uuidLength    = 36
	maxCursor     = 4 << 10
)

var errCursor = errors.New("is not a cursor of this list; start again without one")

// String encodes the cursor; callers are to take it as opaque.
func (c cursor) String() string {
	return base64.RawURLEncoding.EncodeToString([]byte(cursorVersion + string(c.id) + c.name))
}

// parseCursor decodes what String made.
func parseCursor(s string) (cursor, error) {
	if len(s) > maxCursor {
		return cursor{}, errCursor
	}
	raw, err := base64.RawURLEncoding.Strict().DecodeString(s)
	if err != nil || !utf8.Valid(raw) {
		return cursor{}, errCursor
	}
	rest, ok := strings.CutPrefix(string(raw), cursorVersion)
	if !ok || len(rest) < uuidLength {
		return cursor{}, errCursor
	}
	id, err := registry.ParseWorkerID(rest[:uuidLength])
	if err != nil || string(id) != rest[:uuidLength] {
		return cursor{}, errCursor
	}
	return cursor{name: rest[uuidLength:], id: id}, nil
}

// compare orders a worker against the cursor.
func (c cursor) compare(w *registry.Worker) int {
	return cmp.Or(cmp.Compare(w.Name, c.name), cmp.Compare(w.ID, c.id))
}
