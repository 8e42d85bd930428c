package store

import (
	"context"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/table"
)

// tableColumns are all of the registry of tables, in order.
func tableColumns() []string {
	return []string{
		"id", "name", "name_key", "source_type", "bucket", "source_table", "sync_strategy", "query_mode", "sync_schedule",
		"profile_after_sync", "primary_key", "folder", "description", "registered_by", "registered_at", "updated_at", "revision",
	}
}

// nameKey is what names of tables are compared by; they are of ASCII.
func nameKey(name string) string { return strings.ToLower(name) }

// tableRow is a table as its row, in the order of tableColumns.
func tableRow(t *table.Table) ([]driver.Value, error) {
	columns := t.PrimaryKey
	if columns == nil {
		columns = []string{}
	}
	key, err := json.Marshal(columns)
	if err != nil {
		return nil, fmt.Errorf("primary key of table %s: %w", t.ID, err)
	}
	return []driver.Value{
		t.ID, t.Name, nameKey(t.Name), t.Source, t.Bucket, t.SourceTable, string(t.Strategy), string(t.Mode), t.Schedule,
		t.Profile, string(key), t.Folder, t.Description, t.RegisteredBy, t.RegisteredAt.UTC(), t.UpdatedAt.UTC(), t.Revision,
	}, nil
}

const selectTable = `SELECT id, name, source_type, bucket, source_table, sync_strategy, query_mode, sync_schedule,
	profile_after_sync, primary_key, folder, description, registered_by, registered_at, updated_at, revision FROM table_registry`

func scanTable(row scanner) (*table.Table, error) {
	var t table.Table
	var key string
	err := row.Scan(&t.ID, &t.Name, &t.Source, &t.Bucket, &t.SourceTable, &t.Strategy, &t.Mode, &t.Schedule,
		&t.Profile, &key, &t.Folder, &t.Description, &t.RegisteredBy, &t.RegisteredAt, &t.UpdatedAt, &t.Revision)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal([]byte(key), &t.PrimaryKey); err != nil {
		return nil, fmt.Errorf("primary key of table %s: %w", t.ID, err)
	}
	if len(t.PrimaryKey) == 0 {
		t.PrimaryKey = nil // there is one form for no key
	}
	t.RegisteredAt, t.UpdatedAt = utc(t.RegisteredAt), utc(t.UpdatedAt)
	return &t, nil
}

// Table implements registry.TableReader.
func (d *Database) Table(ctx context.Context, id string) (*table.Table, error) {
	t, err := scanTable(d.readRow(ctx, selectTable+` WHERE id = $1`, id))
	return t, d.explain("read a table's record", err)
}

// Tables implements registry.TableReader.
func (d *Database) Tables(ctx context.Context, q registry.TableQuery) (all []*table.Table, count int, err error) {
	err = d.inTx(ctx, d.engine.ReadOptions, func(tx *querier) error {
		all, count, err = readTables(ctx, tx, q)
		return d.explain("read the registry of tables", err)
	})
	return all, count, err
}

func readTables(ctx context.Context, tx *querier, q registry.TableQuery) (all []*table.Table, count int, err error) {
	const which = ` WHERE ($1 = '' OR source_type = $1) AND ($2 = '' OR name_key = $2)`
	name := nameKey(q.Name)
	if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM table_registry`+which, q.Source, name).Scan(&count); err != nil {
		return nil, 0, err
	}
	rows, err := tx.QueryContext(ctx, selectTable+which+` AND id > $3 ORDER BY id LIMIT $4`, q.Source, name, q.After, q.Limit)
	if err != nil {
		return nil, 0, err
	}
	all, err = collect(rows, scanTable)
	return all, count, err
}

// Table implements registry.TableTx.
func (t *transaction) Table(ctx context.Context, id string) (*table.Table, error) {
	one, err := scanTable(t.tx.QueryRowContext(ctx, selectTable+` WHERE id = $1`, id))
	return one, t.explain("read a table's record", err)
}

// Tables implements registry.TableTx.
func (t *transaction) Tables(ctx context.Context, q registry.TableQuery) ([]*table.Table, int, error) {
	all, count, err := readTables(ctx, t.tx, q)
	return all, count, t.explain("read the registry of tables", err)
}

// InsertTables implements registry.TableTx.
func (t *transaction) InsertTables(ctx context.Context, tables []*table.Table) error {
	if len(tables) == 0 {
		return nil
	}
	ids, rows := make([]string, len(tables)), make([][]driver.Value, len(tables))
	for i, one := range tables {
		row, err := tableRow(one)
		if err != nil {
			return err
		}
		ids[i], rows[i] = one.ID, row
	}
	if err := t.freeIDs(ctx, ids); err != nil {
		return err
	}
	err := t.engine.Append(ctx, t.conn, "table_registry", tableColumns(), slices.Values(rows))
	if err != nil {
		return t.explain("store a table's record", err)
	}
	return t.uniqueTables(ctx)
}

// freeIDs fails with ErrTableTaken when one of the ids is there, or comes twice: the
// engines would say so in their own ways, and only once they have begun.
func (t *transaction) freeIDs(ctx context.Context, ids []string) error {
	sorted := slices.Sorted(slices.Values(ids))
	if len(slices.Compact(sorted)) < len(ids) {
		return registry.ErrTableTaken
	}
	var taken int
	err := t.tx.QueryRowContext(ctx, `SELECT count(*) FROM table_registry WHERE id IN (SELECT unnest($1::TEXT[]))`, ids).Scan(&taken)
	if err == nil && taken > 0 {
		return registry.ErrTableTaken
	}
	return t.explain("read the registry of tables", err)
}

// uniqueTables fails with ErrTableTaken when two tables of one source have the same
// name, which PostgreSQL alone refuses by itself.
func (t *transaction) uniqueTables(ctx context.Context) error {
	var same int
	err := t.tx.QueryRowContext(ctx, `SELECT count(*) FROM (SELECT 1 FROM table_registry GROUP BY source_type, name_key
		HAVING count(*) > 1) AS twice`).Scan(&same)
	if err == nil && same > 0 {
		return registry.ErrTableTaken
	}
	return t.explain("read the registry of tables", err)
}

// UpdateTable implements registry.TableTx. The key stays as it is, and no column is
// of a kind that would have it written anew: see the comment on top of transaction.go.
func (t *transaction) UpdateTable(ctx context.Context, one *table.Table) error {
	row, err := tableRow(one)
	if err != nil {
		return err
	}
	args := make([]any, len(row))
	for i, v := range row {
		args[i] = v
	}
	res, err := t.tx.ExecContext(ctx, `UPDATE table_registry SET name = $2, name_key = $3, source_type = $4, bucket = $5,
		source_table = $6, sync_strategy = $7, query_mode = $8, sync_schedule = $9, profile_after_sync = $10,
		primary_key = $11, folder = $12, description = $13, registered_by = $14, registered_at = $15, updated_at = $16,
		revision = $17 WHERE id = $1`, args...)
	if err := t.one(res, t.explain("store a table's record", err)); err != nil {
		return err
	}
	return t.uniqueTables(ctx)
}

// DeleteTable implements registry.TableTx.
func (t *transaction) DeleteTable(ctx context.Context, id string) error {
	res, err := t.tx.ExecContext(ctx, `DELETE FROM table_registry WHERE id = $1`, id)
	return t.one(res, t.explain("remove a table's record", err))
}
