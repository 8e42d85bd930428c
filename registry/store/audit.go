package store

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/hex"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/audit"
)

// chainEnd returns the number and the mac of the last row, as this transaction has
// them. The state's row is locked since the transaction began.
func (t *transaction) chainEnd(ctx context.Context) (*registry.AuditEnd, error) {
	if t.end != nil {
		return t.end, nil
	}
	var end registry.AuditEnd
	err := t.tx.QueryRowContext(ctx, `SELECT audited, audit_mac FROM registry_state WHERE id = 1`).Scan(&end.Number, &end.MAC)
	if err != nil {
		return nil, t.explain("read the end of the audit log", err)
	}
	t.end = &end
	return t.end, nil
}

// Audit implements registry.AuditTx.
func (t *transaction) Audit(ctx context.Context, e registry.AuditEntry) error {
	end, err := t.chainEnd(ctx)
	if err != nil {
		return err
	}
	e.Number, e.Revision, e.At = end.Number+1, t.rev, e.At.UTC().Truncate(time.Microsecond)
	row := e.Row()
	e.MAC = t.engine.Chain.Seal(end.MAC, &row)
	a := e.Actor
	_, err = t.tx.ExecContext(ctx, `INSERT INTO audit_log (number, id, revision, happened, actor_subject, actor_issuer,
		actor_name, actor_user, actor_token, request_id, address, action, resource, before_json, after_json, result,
		key_id, mac) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		e.Number, e.ID, int64(e.Revision), e.At, a.Subject, a.Issuer, a.Username, a.User, a.Token, a.RequestID, a.Address,
		e.Action, e.Resource, nullJSON(e.Before), nullJSON(e.After), e.Result, row.KeyID, e.MAC)
	if err != nil {
		return t.explain("write to the audit log", err)
	}
	_, err = t.tx.ExecContext(ctx, `UPDATE registry_state SET audited = $1, audit_mac = $2 WHERE id = 1`, e.Number, e.MAC)
	if err != nil {
		return t.explain("write to the audit log", err)
	}
	end.Number, end.MAC = e.Number, e.MAC
	if e.Number%audit.Segment == 0 {
		_, _, err = t.SealAudit(ctx, e.At)
	}
	return err
}

func nullJSON(data []byte) sql.NullString {
	return sql.NullString{String: string(data), Valid: data != nil}
}

// SealAudit implements registry.AuditTx.
func (t *transaction) SealAudit(ctx context.Context, at time.Time) (audit.Head, bool, error) {
	end, err := t.chainEnd(ctx)
	if err != nil || len(end.MAC) == 0 {
		return audit.Head{}, false, err
	}
	var there int
	err = t.tx.QueryRowContext(ctx, `SELECT count(*) FROM audit_heads WHERE number = $1`, end.Number).Scan(&there)
	if err != nil || there > 0 {
		return audit.Head{}, false, t.explain("read the heads of the audit log", err)
	}
	h := audit.Head{Number: end.Number, MAC: bytes.Clone(end.MAC), At: at.UTC().Truncate(time.Microsecond)}
	t.engine.Chain.SignHead(&h)
	_, err = t.tx.ExecContext(ctx, `INSERT INTO audit_heads (number, mac, key_id, signature, signed_at) VALUES ($1, $2, $3, $4, $5)`,
		h.Number, h.MAC, h.KeyID, h.Signature, h.At)
	if err != nil {
		return audit.Head{}, false, t.explain("store a head of the audit log", err)
	}
	t.heads = append(t.heads, h)
	return h, true, nil
}

// DropAudit implements registry.AuditTx.
func (t *transaction) DropAudit(ctx context.Context, before time.Time, most int64) (audit.Head, int64, bool, error) {
	const doing = "remove from the audit log"
	none := func(err error) (audit.Head, int64, bool, error) {
		if errors.Is(err, sql.ErrNoRows) {
			err = nil
		}
		return audit.Head{}, 0, false, t.explain(doing, err)
	}
	var first sql.NullInt64
	if err := t.tx.QueryRowContext(ctx, `SELECT min(number) FROM audit_log`).Scan(&first); err != nil || !first.Valid {
		return none(err)
	}
	h, err := scanHead(t.tx.QueryRowContext(ctx, selectHead+` WHERE signed_at < $1 AND number >= $2 AND number <= $3
		ORDER BY number DESC LIMIT 1`, before.UTC(), first.Int64, first.Int64+most))
	if err != nil {
		return none(err)
	}
	if err := t.wholeEnd(ctx, &h); err != nil {
		return audit.Head{}, 0, false, err
	}
	res, err := t.tx.ExecContext(ctx, `DELETE FROM audit_log WHERE number <= $1`, h.Number)
	if err != nil {
		return none(err)
	}
	rows, err := res.RowsAffected()
	if err != nil {
		return none(err)
	}
	if _, err := t.tx.ExecContext(ctx, `DELETE FROM audit_heads WHERE number < $1`, h.Number); err != nil {
		return none(err)
	}
	return h, rows, true, nil
}

// wholeEnd refuses to remove rows up to a head that is not that of its row: what is
// left of them would prove nothing.
func (t *transaction) wholeEnd(ctx context.Context, h *audit.Head) error {
	var mac []byte
	err := t.tx.QueryRowContext(ctx, `SELECT mac FROM audit_log WHERE number = $1`, h.Number).Scan(&mac)
	if err != nil && !errors.Is(err, sql.ErrNoRows) {
		return t.explain("remove from the audit log", err)
	}
	why := t.engine.Chain.CheckHead(h)
	if why == nil && !bytes.Equal(mac, h.MAC) {
		why = errors.New("its row has another mac")
	}
	if why == nil {
		return nil
	}
	return fault.New(fault.Internal, "audit_head_bad",
		"the head of row %d of the audit log does not hold (%v): nothing is removed; verify the log", h.Number, why)
}

const selectHead = `SELECT number, mac, key_id, signature, signed_at FROM audit_heads`

func scanHead(row scanner) (audit.Head, error) {
	var h audit.Head
	err := row.Scan(&h.Number, &h.MAC, &h.KeyID, &h.Signature, &h.At)
	h.At = utc(h.At)
	return h, err
}

const selectAudit = `SELECT number, id, revision, happened, actor_subject, actor_issuer, actor_name, actor_user,
	actor_token, request_id, address, action, resource, before_json, after_json, result, key_id, mac FROM audit_log`

// scanEntry replaces all of an entry.
func scanEntry(row scanner, e *registry.AuditEntry) error {
	a := &e.Actor
	e.Before, e.After, e.MAC = nil, nil, nil
	err := row.Scan(&e.Number, &e.ID, &e.Revision, &e.At, &a.Subject, &a.Issuer, &a.Username, &a.User, &a.Token,
		&a.RequestID, &a.Address, &e.Action, &e.Resource, &e.Before, &e.After, &e.Result, &e.KeyID, &e.MAC)
	e.At = utc(e.At)
	return err
}

// AuditTrail implements registry.Auditor.
func (d *Database) AuditTrail(ctx context.Context, after int64, limit int) ([]registry.AuditEntry, error) {
	return d.AuditFind(ctx, registry.AuditQuery{After: after, Limit: limit, Oldest: true})
}

// AuditFind implements registry.AuditKeeper.
func (d *Database) AuditFind(ctx context.Context, q registry.AuditQuery) ([]registry.AuditEntry, error) {
	const doing = "read the audit log"
	where, args := conditions(&q)
	order := "DESC"
	if q.Oldest {
		order = "ASC"
	}
	args = append(args, q.Limit)
	rows, err := d.read(ctx, selectAudit+where+` ORDER BY number `+order+` LIMIT $`+strconv.Itoa(len(args)), args...)
	if err != nil {
		return nil, d.explain(doing, err)
	}
	all, err := collect(rows, func(row scanner) (e registry.AuditEntry, err error) {
		err = scanEntry(row, &e)
		return e, err
	})
	return all, d.explain(doing, err)
}

// conditions are the WHERE clause of a query.
func conditions(q *registry.AuditQuery) (string, []any) {
	var parts []string
	var args []any
	add := func(format string, v any) {
		args = append(args, v)
		parts = append(parts, strings.ReplaceAll(format, "?", "$"+strconv.Itoa(len(args))))
	}
	if start, ok := strings.CutSuffix(q.Action, "*"); ok {
		add(`starts_with(action, ?)`, start)
	} else if q.Action != "" {
		add(`action = ?`, q.Action)
	}
	if q.Actor != "" {
		add(`(actor_subject = ? OR actor_name = ? OR actor_user = ? OR actor_token = ?)`, q.Actor)
	}
	if q.Resource != "" {
		add(`resource = ?`, q.Resource)
	}
	if q.Result != "" {
		add(`result = ?`, q.Result)
	}
	if !q.Since.IsZero() {
		add(`happened >= ?`, q.Since.UTC())
	}
	if !q.Until.IsZero() {
		add(`happened < ?`, q.Until.UTC())
	}
	if q.After != 0 {
		add(`number > ?`, q.After)
	}
	if q.Before != 0 {
		add(`number < ?`, q.Before)
	}
	if len(parts) == 0 {
		return "", nil
	}
	return " WHERE " + strings.Join(parts, " AND "), args
}

// scanPage is how many rows AuditScan reads at a time: between two pages others have
// the connection.
const scanPage = 2000

// AuditScan implements registry.AuditKeeper.
func (d *Database) AuditScan(ctx context.Context, first, last int64, take func(*registry.AuditEntry) error) error {
	for ; first <= last; first += scanPage {
		if err := d.scanPage(ctx, first, min(first+scanPage-1, last), take); err != nil {
			return err
		}
	}
	return nil
}

func (d *Database) scanPage(ctx context.Context, first, last int64, take func(*registry.AuditEntry) error) error {
	const doing = "read the audit log"
	rows, err := d.read(ctx, selectAudit+` WHERE number >= $1 AND number <= $2 ORDER BY number`, first, last)
	if err != nil {
		return d.explain(doing, err)
	}
	defer func() {
		// Closing tells again what Err has told; after an early return it tells less.
		_ = rows.Close()
	}()
	var e registry.AuditEntry
	for rows.Next() {
		if err := scanEntry(rows, &e); err != nil {
			return d.explain(doing, err)
		}
		if err := take(&e); err != nil {
			return err
		}
	}
	return d.explain(doing, rows.Err())
}

// AuditBounds implements registry.AuditKeeper.
func (d *Database) AuditBounds(ctx context.Context) (b registry.AuditBounds, err error) {
	err = d.inTx(ctx, d.engine.ReadOptions, func(tx *querier) error {
		row := tx.QueryRowContext(ctx, `SELECT audited, audit_mac FROM registry_state WHERE id = 1`)
		if err := row.Scan(&b.End.Number, &b.End.MAC); err != nil {
			return d.explain("read the end of the audit log", err)
		}
		row = tx.QueryRowContext(ctx, `SELECT coalesce(min(number), 0), coalesce(max(number), 0) FROM audit_log`)
		if err := row.Scan(&b.First, &b.Last); err != nil {
			return d.explain("read the audit log", err)
		}
		row = tx.QueryRowContext(ctx, `SELECT coalesce(max(number), 0) FROM audit_heads`)
		return d.explain("read the heads of the audit log", row.Scan(&b.LastHead))
	})
	return b, err
}

// AuditHeads implements registry.AuditKeeper.
func (d *Database) AuditHeads(ctx context.Context, after int64, limit int) ([]audit.Head, error) {
	rows, err := d.read(ctx, selectHead+` WHERE number > $1 ORDER BY number LIMIT $2`, after, limit)
	if err != nil {
		return nil, d.explain("read the heads of the audit log", err)
	}
	all, err := collect(rows, scanHead)
	if err != nil {
		return nil, d.explain("read the heads of the audit log", err)
	}
	return all, nil
}

// AuditChain implements registry.AuditKeeper.
func (d *Database) AuditChain() *audit.Keys { return d.engine.Chain }

// tellHeads logs the heads that a transaction has stored: what is in a log that
// is kept elsewhere finds a cut tail.
func (d *Database) tellHeads(ctx context.Context, heads []audit.Head) {
	for _, h := range heads {
		d.log.InfoContext(ctx, "the audit log reaches here; keep it elsewhere to find a cut tail with",
			"number", h.Number, "head", h.String(), "key_id", h.KeyID, "signature", hex.EncodeToString(h.Signature))
	}
}
