package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"strings"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/muster-fleet/muster/registry/access"
)

// statements are the way without a set: one or two of them for each check, to
// DuckDB, which holds the same rows in memory, in tables with the keys of
// specs/access-control.md, section 7.1, and two more indexes, of which one is on the
// resource. They are prepared once, and ask for the indexed column alone first: with
// another condition beside it DuckDB reads the whole table, which takes ten times
// as long. Its grants are those that are in force, and nothing
// changes them.
type statements struct {
	db                  *sql.DB
	groups, grant, both *sql.Stmt
	admin, everyone     string
}

// ofResource are the grants on what is called so, of whatever type.
const ofResource = `WITH here AS MATERIALIZED (SELECT group_id, resource_type FROM resource_grants WHERE resource_id = ?) `

func newStatements(ctx context.Context, t *town, people, rights *access.Delta) (s *statements, err error) {
	connector, err := duckdb.NewConnector("", func(c driver.ExecerContext) error {
		_, err := c.ExecContext(ctx, "SET threads = 2", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	s = &statements{db: sql.OpenDB(connector), admin: people.Groups[0].ID.String(), everyone: people.Groups[1].ID.String()}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	for _, text := range []string{
		"CREATE TABLE user_groups (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL)",
		"CREATE TABLE user_group_members (user_id TEXT NOT NULL, group_id TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (user_id, group_id))",
		"CREATE TABLE resource_grants (id TEXT PRIMARY KEY, group_id TEXT NOT NULL, resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, UNIQUE (group_id, resource_type, resource_id))",
		"CREATE INDEX by_user ON user_group_members (user_id)",
	} {
		if _, err := s.db.ExecContext(ctx, text); err != nil {
			return s, err
		}
	}
	if err := s.fill(ctx, connector, t, people, rights); err != nil {
		return s, err
	}
	if _, err := s.db.ExecContext(ctx, "CREATE INDEX by_resource ON resource_grants (resource_id)"); err != nil {
		return s, err
	}
	for to, text := range map[**sql.Stmt]string{
		&s.groups: `SELECT group_id FROM user_group_members WHERE user_id = ?`,
		&s.grant:  ofResource + `SELECT 1 FROM here WHERE resource_type = ? AND list_contains(string_split(?, ','), group_id) LIMIT 1`,
		&s.both:   ofResource + `SELECT 1 FROM here WHERE resource_type = ? AND (group_id = ? OR group_id IN (SELECT group_id FROM user_group_members WHERE user_id = ?)) LIMIT 1`,
	} {
		if *to, err = s.db.PrepareContext(ctx, text); err != nil { //nolint:sqlclosecheck // closed with the database
			return s, err
		}
	}
	return s, nil
}

// Close ends the database and its statements.
func (s *statements) Close() error { return s.db.Close() }

func (s *statements) fill(ctx context.Context, c *duckdb.Connector, t *town, people, rights *access.Delta) error {
	rows := map[string][][]driver.Value{}
	for _, g := range people.Groups {
		rows["user_groups"] = append(rows["user_groups"], []driver.Value{g.ID.String(), g.Name})
	}
	for _, m := range people.Members {
		rows["user_group_members"] = append(rows["user_group_members"], []driver.Value{m.User.String(), m.Group.String(), string(m.Source)})
	}
	for i := range rights.Grants {
		if g := &rights.Grants[i]; g.InForce(t.began) {
			rows["resource_grants"] = append(rows["resource_grants"], []driver.Value{g.ID.String(), g.Group.String(), g.Type, g.Resource})
		}
	}
	for table, all := range rows {
		if err := appendAll(ctx, c, table, all); err != nil {
			return fmt.Errorf("%s: %w", table, err)
		}
	}
	return nil
}

func appendAll(ctx context.Context, c *duckdb.Connector, table string, rows [][]driver.Value) error {
	conn, err := c.Connect(ctx)
	if err != nil {
		return err
	}
	a, err := duckdb.NewAppenderFromConn(conn, "", table)
	if err != nil {
		return errors.Join(err, conn.Close())
	}
	for _, row := range rows {
		if err := a.AppendRow(row...); err != nil {
			return errors.Join(err, a.Close(), conn.Close())
		}
	}
	return errors.Join(a.Close(), conn.Close())
}

// once is the shortest way: administrators are asked for in nothing, Admin has no
// members here.
func (s *statements) once(ctx context.Context, q *question) (bool, error) {
	return found(s.both.QueryRowContext(ctx, q.id, q.typ, s.everyone, q.who.User.ID.String()))
}

// twice reads the user's groups, then looks for a grant of one of them.
func (s *statements) twice(ctx context.Context, q *question) (bool, error) {
	rows, err := s.groups.QueryContext(ctx, q.who.User.ID.String())
	if err != nil {
		return false, err
	}
	defer rows.Close()
	ids := []string{s.everyone}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		if id == s.admin {
			return true, nil
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return found(s.grant.QueryRowContext(ctx, q.id, q.typ, strings.Join(ids, ",")))
}

func found(row *sql.Row) (bool, error) {
	var one int
	err := row.Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
