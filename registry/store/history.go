package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/muster-fleet/muster/registry"
)

// history remembers where the audit log ended when this process last read or wrote
// the store. A store that was restored from an older copy has gone on with other
// rows from there, under the revisions that were given before: only the macs tell
// (docs/adr/0161). It is safe for concurrent use.
type history struct {
	mu  sync.Mutex
	end registry.AuditEnd
}

// note remembers an end that was found by who knew of before. What another has
// noted meanwhile stays when it is further on: it was looked at later.
func (h *history) note(before, end registry.AuditEnd) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.end.Number > end.Number && !sameEnd(h.end, before) {
		return
	}
	h.end = registry.AuditEnd{Number: end.Number, MAC: bytes.Clone(end.MAC)}
}

func sameEnd(a, b registry.AuditEnd) bool { return a.Number == b.Number && bytes.Equal(a.MAC, b.MAC) }

func (h *history) last() registry.AuditEnd {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.end
}

// goesOn reports whether a store whose audit log ends at end has what this process
// knew of it before the transaction saw that. A row that retention has removed
// meanwhile says nothing.
func (d *Database) goesOn(ctx context.Context, tx *querier, known, end registry.AuditEnd) (bool, error) {
	switch {
	case known.Number == 0:
		return true, nil
	case end.Number < known.Number:
		return false, nil
	case end.Number == known.Number:
		return bytes.Equal(end.MAC, known.MAC), nil
	}
	var mac []byte
	err := tx.QueryRowContext(ctx, `SELECT mac FROM audit_log WHERE number = $1`, known.Number).Scan(&mac)
	if errors.Is(err, sql.ErrNoRows) {
		return true, nil
	}
	return bytes.Equal(mac, known.MAC), d.explain("read the audit log", err)
}

// sameStore refuses a change that would be decided over what another copy of the
// store had.
func (d *Database) sameStore(ctx context.Context, t *transaction) error {
	known := d.known.last()
	end, err := t.chainEnd(ctx)
	if err != nil {
		return err
	}
	same, err := d.goesOn(ctx, t.tx, known, *end)
	if err != nil || same {
		return err
	}
	return Unavailable(d.engine.Name, "is not the copy that was read before: it was restored; all of it is read anew, try again").
		After(time.Second).Wrap(fmt.Errorf("row %d of the audit log: %w", known.Number, registry.ErrReplaced))
}
