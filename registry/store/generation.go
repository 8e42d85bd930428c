package store

import (
	"bytes"
	"context"
	"database/sql"
	"database/sql/driver"
	"fmt"
	"slices"
	"time"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/rule"
)

// keepGenerations is for how long generations that have ended are remembered:
// longer than anybody could still send a chunk of one.
const keepGenerations = 30 * 24 * time.Hour

const selectGeneration = `SELECT number, issuer, subject, step, generation, state, started_at, ended_at, answer
	FROM rule_generations`

func scanGeneration(row scanner) (registry.Generation, error) {
	var g registry.Generation
	var ended sql.NullTime
	err := row.Scan(&g.Number, &g.Creator.Issuer, &g.Creator.Subject, &g.Creator.Step, &g.ID, &g.State,
		&g.StartedAt, &ended, &g.Answer)
	g.StartedAt, g.EndedAt = utc(g.StartedAt), utc(ended.Time)
	return g, err
}

func (t *transaction) generations(ctx context.Context, where string, args ...any) ([]registry.Generation, error) {
	rows, err := t.tx.QueryContext(ctx, selectGeneration+where+` ORDER BY number`, args...)
	if err != nil {
		return nil, t.explain("read the generations", err)
	}
	all, err := collect(rows, scanGeneration)
	return all, t.explain("read the generations", err)
}

// Generations implements registry.GenerationTx.
func (t *transaction) Generations(ctx context.Context, c rule.Creator) ([]registry.Generation, error) {
	return t.generations(ctx, ` WHERE issuer = $1 AND subject = $2 AND step = $3`, c.Issuer, c.Subject, c.Step)
}

// OpenGenerations implements registry.GenerationTx.
func (t *transaction) OpenGenerations(ctx context.Context, before time.Time) ([]registry.Generation, error) {
	return t.generations(ctx, ` WHERE state = 'open' AND started_at <= $1`, before.UTC())
}

// PutGeneration implements registry.GenerationTx.
func (t *transaction) PutGeneration(ctx context.Context, g *registry.Generation) error {
	if g.Number == 0 {
		return t.newGeneration(ctx, g)
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE rule_generations SET state = $2, ended_at = $3, answer = $4 WHERE number = $1`,
		g.Number, string(g.State), nullTime(g.EndedAt), nullBytes(g.Answer))
	if err := t.one(res, t.explain("store a generation", err)); err != nil {
		return err
	}
	if g.State == registry.GenerationOpen {
		return nil
	}
	if err := t.many(ctx); err != nil {
		return err
	}
	_, err = t.tx.ExecContext(ctx, `DELETE FROM staged_rules WHERE generation = $1`, g.Number)
	return t.explain("remove staged rules", err)
}

// nullBytes writes nil as NULL; a driver may make it an empty value.
func nullBytes(data []byte) any {
	if data == nil {
		return nil
	}
	return data
}

func (t *transaction) newGeneration(ctx context.Context, g *registry.Generation) error {
	_, err := t.tx.ExecContext(ctx, `DELETE FROM rule_generations WHERE ended_at < $1`, g.StartedAt.Add(-keepGenerations).UTC())
	if err != nil {
		return t.explain("forget generations", err)
	}
	if g.Number, err = t.take(ctx, generationNumbers, 1); err != nil {
		return err
	}
	c := g.Creator
	_, err = t.tx.ExecContext(ctx, `INSERT INTO rule_generations
		(number, issuer, subject, step, generation, state, started_at, ended_at, answer)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`, g.Number, c.Issuer, c.Subject, c.Step, g.ID, string(g.State),
		g.StartedAt.UTC(), nullTime(g.EndedAt), nullBytes(g.Answer))
	return t.explain("store a generation", err)
}

// maxClashes is how many names Stage tells of.
const maxClashes = 100

// Stage implements registry.GenerationTx.
func (t *transaction) Stage(ctx context.Context, number int64, rules []*rule.Packed) (clashes []string, err error) {
	if err := t.many(ctx); err != nil {
		return nil, err
	}
	for some := range slices.Chunk(rules, chunk) {
		there, err := t.stagedAmong(ctx, number, some)
		if err != nil {
			return nil, err
		}
		fresh := make([]*rule.Packed, 0, len(some))
		for _, p := range some {
			old, is := there[p.Name()]
			switch {
			case !is:
				fresh = append(fresh, p)
			case !old.same(p) && len(clashes) < maxClashes:
				clashes = append(clashes, p.Name())
			}
		}
		if len(clashes) > 0 {
			return clashes, nil
		}
		if err := t.appendStaged(ctx, number, fresh); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// stagedContent is what Stage compares.
type stagedContent struct {
	createdBy string
	body      []byte
}

func (s stagedContent) same(p *rule.Packed) bool {
	r := p.Record()
	return s.createdBy == r.Owner.Username && bytes.Equal(s.body, r.Body)
}

// stagedAmong finds which of the names are staged already.
func (t *transaction) stagedAmong(
	ctx context.Context, number int64, rules []*rule.Packed,
) (map[string]stagedContent, error) {
	names := make([]string, len(rules))
	for i, p := range rules {
		names[i] = p.Name()
	}
	rows, err := t.tx.QueryContext(ctx, `SELECT name, created_by, body FROM staged_rules
		WHERE generation = $1 AND name IN (SELECT unnest($2::TEXT[]))`, number, names)
	if err != nil {
		return nil, t.explain("look for staged rules", err)
	}
	there := map[string]stagedContent{}
	_, err = collect(rows, func(row scanner) (none struct{}, err error) {
		var name string
		var s stagedContent
		err = row.Scan(&name, &s.createdBy, &s.body)
		there[name] = s
		return none, err
	})
	return there, t.explain("look for staged rules", err)
}

func (t *transaction) appendStaged(ctx context.Context, number int64, rules []*rule.Packed) error {
	row := make([]driver.Value, 6)
	columns := []string{"generation", "name", "created_by", "run", "staged_at", "body"}
	err := t.engine.Append(ctx, t.conn, "staged_rules", columns, func(yield func([]driver.Value) bool) {
		for _, p := range rules {
			r := p.Record()
			row[0], row[1], row[2], row[3], row[4], row[5] = number, r.Name, r.Owner.Username, r.Run, r.CreatedAt, r.Body
			if !yield(row) {
				return
			}
		}
	})
	return t.explain("stage rules", err)
}

const selectStaged = `SELECT s.generation, s.name, s.created_by, s.run, s.staged_at, s.body,
	g.issuer, g.subject, g.step, g.generation, g.started_at
	FROM staged_rules s JOIN rule_generations g ON g.number = s.generation`

// stagedRow is a row of selectStaged.
type stagedRow struct {
	number     int64
	generation string
	started    time.Time
	rule       *rule.Packed
}

func scanStaged(row scanner) (s stagedRow, err error) {
	var r rule.Record
	err = row.Scan(&s.number, &r.Name, &r.Owner.Username, &r.Run, &r.CreatedAt, &r.Body,
		&r.Owner.Issuer, &r.Owner.Subject, &r.Owner.Step, &s.generation, &s.started)
	if err != nil {
		return s, err
	}
	r.UpdatedAt = r.CreatedAt
	if s.rule, err = rule.PackRecord(r); err != nil {
		return s, fmt.Errorf("staged rule %q %w", r.Name, err)
	}
	return s, nil
}

// Staged implements registry.GenerationTx.
func (t *transaction) Staged(ctx context.Context, number int64, after string, limit int) ([]*rule.Packed, error) {
	if err := t.many(ctx); err != nil {
		return nil, err
	}
	rows, err := t.tx.QueryContext(ctx, selectStaged+` WHERE s.generation = $1 AND s.name > $2 ORDER BY s.name LIMIT $3`,
		number, after, limit)
	if err != nil {
		return nil, t.explain("read staged rules", err)
	}
	all, err := collect(rows, func(row scanner) (*rule.Packed, error) {
		s, err := scanStaged(row)
		return s.rule, err
	})
	return all, t.explain("read staged rules", err)
}

// StagedRules implements registry.Loader.
func (d *Database) StagedRules(ctx context.Context, after registry.StagedPlace, limit int) ([]registry.StagedRule, error) {
	rows, err := d.read(ctx, selectStaged+` WHERE s.generation > $1 OR s.generation = $1 AND s.name > $2
		ORDER BY s.generation, s.name LIMIT $3`, after.Generation, after.Name, limit)
	if err != nil {
		return nil, d.explain("read staged rules", err)
	}
	all, err := collect(rows, func(row scanner) (registry.StagedRule, error) {
		s, err := scanStaged(row)
		if err != nil {
			return registry.StagedRule{}, err
		}
		return registry.StagedRule{
			Place: registry.StagedPlace{Generation: s.number, Name: s.rule.Name()}, Generation: s.generation,
			Started: utc(s.started), Rule: s.rule.Rule(),
		}, nil
	})
	return all, d.explain("read staged rules", err)
}
