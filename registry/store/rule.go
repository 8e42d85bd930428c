package store

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// chunk is how many rules one statement takes or gives.
const chunk = 50_000

// counters of rules; see counter.
var (
	ruleIDs = counter{
		move: `UPDATE rule_state SET rules = rules + $1 WHERE id = 1`,
		read: `SELECT rules FROM rule_state WHERE id = 1`,
	}
	generationNumbers = counter{
		move: `UPDATE rule_state SET generations = generations + $1 WHERE id = 1`,
		read: `SELECT generations FROM rule_state WHERE id = 1`,
	}
)

// take moves a counter on by n and returns the first of the n numbers.
func (t *transaction) take(ctx context.Context, c counter, n int) (first int64, err error) {
	_, err = t.tx.ExecContext(ctx, c.move, int64(n))
	if err != nil {
		return 0, t.explain("count", err)
	}
	var last int64
	if err := t.tx.QueryRowContext(ctx, c.read).Scan(&last); err != nil {
		return 0, t.explain("count", err)
	}
	return last - int64(n) + 1, nil
}

// many asks the engine for patience, once, before a statement about many rows.
func (t *transaction) many(ctx context.Context) error {
	if t.patient || t.engine.Patient == nil {
		return nil
	}
	t.patient = true
	return t.explain("begin a large change", t.engine.Patient(ctx, t.tx.tx))
}

// NewRuleIDs implements registry.RuleTx.
func (t *transaction) NewRuleIDs(ctx context.Context, n int) (first int64, err error) {
	return t.take(ctx, ruleIDs, n)
}

// ruleColumns are the columns of rules.
func ruleColumns() []string {
	return []string{"id", "name", "issuer", "subject", "step", "created_by", "run", "created_at", "updated_at", "body", "changed"}
}

// AddRules implements registry.RuleTx.
func (t *transaction) AddRules(ctx context.Context, rules []*rule.Packed) error {
	if err := t.many(ctx); err != nil {
		return err
	}
	row := make([]driver.Value, len(ruleColumns()))
	err := t.engine.Append(ctx, t.conn, "rules", ruleColumns(), func(yield func([]driver.Value) bool) {
		for _, p := range rules {
			if !yield(t.ruleRow(row, p)) {
				return
			}
		}
	})
	return t.explain("store rules", err)
}

// ruleRow fills row with a rule's columns.
func (t *transaction) ruleRow(row []driver.Value, p *rule.Packed) []driver.Value {
	r := p.Record()
	row[0], row[1], row[2], row[3], row[4] = r.ID, r.Name, r.Owner.Issuer, r.Owner.Subject, r.Owner.Step
	row[5], row[6], row[7], row[8], row[9] = r.Owner.Username, r.Run, r.CreatedAt, r.UpdatedAt, r.Body
	row[10] = int64(t.rev)
	return row
}

// UpdateRule implements registry.RuleTx.
func (t *transaction) UpdateRule(ctx context.Context, p *rule.Packed) error {
	r := p.Record()
	res, err := t.tx.ExecContext(ctx, `UPDATE rules SET updated_at = $2, body = $3, changed = $4 WHERE id = $1`,
		r.ID, r.UpdatedAt, r.Body, int64(t.rev))
	return t.one(res, t.explain("store a rule", err))
}

// DeleteRules implements registry.RuleTx.
func (t *transaction) DeleteRules(ctx context.Context, ids []int64) error {
	if err := t.many(ctx); err != nil {
		return err
	}
	for some := range slices.Chunk(ids, chunk) {
		_, err := t.tx.ExecContext(ctx, `DELETE FROM rules WHERE id IN (SELECT unnest($1::BIGINT[]))`, some)
		if err != nil {
			return t.explain("remove rules", err)
		}
	}
	row := make([]driver.Value, 3)
	err := t.engine.Append(ctx, t.conn, "rule_deletions", []string{"first_id", "last_id", "revision"},
		func(yield func([]driver.Value) bool) {
			for _, span := range rule.SpansOf(ids) {
				row[0], row[1], row[2] = span.First, span.Last, int64(t.rev)
				if !yield(row) {
					return
				}
			}
		})
	if err != nil {
		return t.explain("note deletions", err)
	}
	return t.forget(ctx)
}

// retiredJSON is a binding as the store keeps it.
type retiredJSON struct {
	Kind  rule.Kind `json:"kind"`
	ID    rule.ID   `json:"id"`
	Of    rule.ID   `json:"of"`
	Title string    `json:"title"`
	From  string    `json:"from"`
	To    string    `json:"to"`
}

// SetModel implements registry.RuleTx.
func (t *transaction) SetModel(ctx context.Context, m registry.GraphModel) error {
	model, err := json.Marshal(m.Model)
	if err != nil {
		return fmt.Errorf("write the graph model: %w", err)
	}
	retired := make([]retiredJSON, len(m.Retired))
	for i, b := range m.Retired {
		retired[i] = retiredJSON{b.Kind, b.ID, b.Of, b.Title, b.From, b.To}
	}
	old, err := json.Marshal(retired)
	if err != nil {
		return fmt.Errorf("write the ids that the graph model lost: %w", err)
	}
	_, err = t.tx.ExecContext(ctx, `INSERT INTO graph_model (id, model, retired, changed) VALUES (1, $1, $2, $3)
		ON CONFLICT (id) DO UPDATE SET model = excluded.model, retired = excluded.retired, changed = excluded.changed`,
		string(model), string(old), int64(t.rev))
	return t.explain("store the graph model", err)
}

// loadRules reads what changed of rules and model.
func (d *Database) loadRules(ctx context.Context, tx *querier, since registry.Revision, c *registry.Changes) error {
	if err := d.loadModel(ctx, tx, since, c); err != nil {
		return err
	}
	// In parts, since DuckDB holds what a query answers in its own memory.
	for after := int64(0); ; {
		some, err := d.loadSomeRules(ctx, tx, since, after)
		if err != nil {
			return err
		}
		c.Rules = append(c.Rules, some...)
		if len(some) < chunk {
			break
		}
		after = some[len(some)-1].ID()
	}
	if c.Full {
		return nil
	}
	rows, err := tx.QueryContext(ctx, `SELECT first_id, last_id FROM rule_deletions WHERE revision > $1`, since)
	if err != nil {
		return d.explain("read the deletions", err)
	}
	c.DeletedRules, err = collect(rows, func(row scanner) (s rule.Span, err error) {
		err = row.Scan(&s.First, &s.Last)
		return s, err
	})
	return d.explain("read the deletions", err)
}

func (d *Database) loadSomeRules(
	ctx context.Context, tx *querier, since registry.Revision, after int64,
) ([]*rule.Packed, error) {
	rows, err := tx.QueryContext(ctx, `SELECT id, name, issuer, subject, step, created_by, run, created_at, updated_at,
		body, changed FROM rules WHERE changed > $1 AND id > $2 ORDER BY id LIMIT $3`, since, after, chunk)
	if err != nil {
		return nil, d.explain("read the rules", err)
	}
	some, err := collect(rows, scanRule)
	return some, d.explain("read the rules", err)
}

func scanRule(row scanner) (*rule.Packed, error) {
	var r rule.Record
	var body sql.RawBytes
	rows, many := row.(*sql.Rows)
	if !many {
		return nil, errors.New("rules are read by the row") // RawBytes needs it
	}
	err := rows.Scan(&r.ID, &r.Name, &r.Owner.Issuer, &r.Owner.Subject, &r.Owner.Step, &r.Owner.Username, &r.Run,
		&r.CreatedAt, &r.UpdatedAt, &body, &r.Revision)
	if err != nil {
		return nil, err
	}
	r.Body = body // PackRecord copies it
	p, err := rule.PackRecord(r)
	if err != nil {
		return nil, fmt.Errorf("rule %d %w", r.ID, err)
	}
	return p, nil
}

func (d *Database) loadModel(ctx context.Context, tx *querier, since registry.Revision, c *registry.Changes) error {
	var model, retired string
	var changed registry.Revision
	err := tx.QueryRowContext(ctx, `SELECT model, retired, changed FROM graph_model WHERE id = 1 AND changed > $1`, since).
		Scan(&model, &retired, &changed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil
	}
	if err != nil {
		return d.explain("read the graph model", err)
	}
	m := registry.GraphModel{Model: &rule.Model{}, Revision: changed}
	var old []retiredJSON
	if err := errors.Join(json.Unmarshal([]byte(model), m.Model), json.Unmarshal([]byte(retired), &old)); err != nil {
		return fmt.Errorf("the stored graph model: %w", err)
	}
	for _, b := range old {
		m.Retired = append(m.Retired, rule.Binding{
			Ref: rule.Ref{Kind: b.Kind, ID: b.ID}, Of: b.Of, Title: b.Title, From: b.From, To: b.To,
		})
	}
	c.Model = &m
	return nil
}
