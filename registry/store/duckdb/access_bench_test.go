package duckdb_test

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/binary"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/duckdb/duckdb-go/v2"

	"github.com/muster-fleet/muster/registry/access"
)

// BenchmarkAccessChecks asks the same questions of access.Set and of DuckDB, which
// holds the same rows in memory, in tables with the keys of
// specs/access-control.md, section 7.1, and one more index, on the resource. Its
// statements are prepared once, and name the indexed column first, without which
// DuckDB reads the whole table. "two queries" reads the user's groups, then looks
// for a grant of one of them; "one query" does both. The last line of each is how
// many times as long as the set it takes.
func BenchmarkAccessChecks(b *testing.B) {
	t := accessTown{grants: 1_000_000, users: 100_000, groups: 10_000, rnd: rand.New(rand.NewPCG(1, 2))}
	d := t.everything()
	set := (*access.Set)(nil).With(d)
	db := newAccessTables(b, d)
	asked := t.questions(4096, d)
	var ofSet float64
	b.Run("set", func(b *testing.B) {
		b.ReportAllocs()
		i := 0
		for b.Loop() {
			q := &asked[i%len(asked)]
			if (set.IsAdmin(&q.who) || set.Allows(&q.who, q.typ, q.id, false, t.now())) != q.allowed {
				b.Fatalf("%+v is told wrong", q)
			}
			i++
		}
		ofSet = float64(b.Elapsed()) / float64(b.N)
	})
	for _, way := range []struct {
		name string
		ask  func(ctx context.Context, q *accessQuestion) (bool, error)
	}{{"duckdb, one query", db.once}, {"duckdb, two queries", db.twice}} {
		b.Run(way.name, func(b *testing.B) {
			b.ReportAllocs()
			i := 0
			for b.Loop() {
				q := &asked[i%len(asked)]
				if got, err := way.ask(b.Context(), q); err != nil || got != q.allowed {
					b.Fatalf("%+v is told %v, %v", q, got, err)
				}
				i++
			}
			b.ReportMetric(float64(b.Elapsed())/float64(b.N)/ofSet, "times-the-set")
		})
	}
}

// accessTown is a made-up organisation.
type accessTown struct {
	grants, users, groups int
	rnd                   *rand.Rand
}

type accessQuestion struct {
	who     access.Who
	typ, id string
	allowed bool
}

func (accessTown) now() time.Time { return time.Date(2026, 11, 1, 0, 0, 0, 0, time.UTC) }

// numbered is the nth id of a kind.
func (accessTown) numbered(kind byte, n int) access.ID {
	var id access.ID
	rnd := rand.New(rand.NewPCG(uint64(kind), uint64(n)))
	binary.BigEndian.PutUint64(id[:], uint64(n)<<16)
	binary.BigEndian.PutUint64(id[8:], rnd.Uint64())
	return id
}

func (t accessTown) resource(n int) (typ, id string) {
	if n%2 == 0 {
		return "worker", t.numbered('r', n).String()
	}
	return "dataset", fmt.Sprintf("warehouse_%d.table_%07d", n%7, n)
}

// everything is who there is and what they may do. No resource has two grants of
// one group, which neither side would take.
func (t accessTown) everything() *access.Delta {
	d := &access.Delta{Groups: []access.Group{
		{ID: t.numbered('s', 1), Name: access.Admin, System: true}, {ID: t.numbered('s', 2), Name: access.Everyone, System: true},
	}}
	for n := range t.groups {
		d.Groups = append(d.Groups, access.Group{ID: t.numbered('g', n), Name: fmt.Sprint("group ", n)})
	}
	for n := range t.users {
		u := access.User{ID: t.numbered('u', n), Email: fmt.Sprintf("user%d@example.org", n), Active: true}
		d.Users = append(d.Users, u)
		for _, g := range t.some(t.rnd.IntN(21), t.groups) {
			k := access.MemberKey{User: u.ID, Group: t.numbered('g', g), Source: access.SourceAdmin}
			d.Members = append(d.Members, access.Member{MemberKey: k})
		}
	}
	perGroup := t.grants / t.groups
	for g := range t.groups {
		for _, r := range t.some(perGroup, t.grants*2/5) {
			typ, id := t.resource(r)
			d.Grants = append(d.Grants, access.Grant{ID: t.numbered('p', len(d.Grants)), Group: t.numbered('g', g), Type: typ, Resource: id})
		}
	}
	return d
}

// some are distinct numbers below a bound.
func (t accessTown) some(n, below int) []int {
	seen, all := map[int]bool{}, []int(nil)
	for len(all) < n {
		if i := t.rnd.IntN(below); !seen[i] {
			seen[i] = true
			all = append(all, i)
		}
	}
	return all
}

// questions are half about random resources, and half about some that one of the
// user's groups has a grant on, with the answers found by walking.
func (t accessTown) questions(n int, d *access.Delta) []accessQuestion {
	in, of := map[access.ID]map[access.ID]bool{}, map[[2]string][]access.ID{}
	for _, m := range d.Members {
		if in[m.User] == nil {
			in[m.User] = map[access.ID]bool{}
		}
		in[m.User][m.Group] = true
	}
	for _, g := range d.Grants {
		of[[2]string{g.Type, g.Resource}] = append(of[[2]string{g.Type, g.Resource}], g.Group)
	}
	all := make([]accessQuestion, n)
	for i := range all {
		q := &all[i]
		m := d.Members[t.rnd.IntN(len(d.Members))]
		q.who.User = &access.User{ID: m.User}
		q.typ, q.id = t.resource(t.rnd.IntN(t.grants * 2 / 5))
		if perGroup := t.grants / t.groups; i%2 == 0 {
			group := int(binary.BigEndian.Uint64(m.Group[:8]) >> 16)
			g := d.Grants[group*perGroup+t.rnd.IntN(perGroup)]
			q.typ, q.id = g.Type, strings.Clone(g.Resource)
		}
		for _, group := range of[[2]string{q.typ, q.id}] {
			q.allowed = q.allowed || in[m.User][group]
		}
	}
	return all
}

// accessTables is the way without a set in memory: statements for each check.
type accessTables struct {
	groups, grant, both *sql.Stmt
	admin, everyone     string
}

func newAccessTables(b *testing.B, d *access.Delta) *accessTables {
	connector, err := duckdb.NewConnector("", func(c driver.ExecerContext) error {
		_, err := c.ExecContext(b.Context(), "SET threads = 2", nil)
		return err
	})
	if err != nil {
		b.Fatal(err)
	}
	db := sql.OpenDB(connector)
	b.Cleanup(func() { db.Close() })
	for _, s := range []string{
		"CREATE TABLE user_groups (id TEXT PRIMARY KEY, name TEXT UNIQUE NOT NULL)",
		"CREATE TABLE user_group_members (user_id TEXT NOT NULL, group_id TEXT NOT NULL, source TEXT NOT NULL, PRIMARY KEY (user_id, group_id))",
		"CREATE TABLE resource_grants (id TEXT PRIMARY KEY, group_id TEXT NOT NULL, resource_type TEXT NOT NULL, resource_id TEXT NOT NULL, UNIQUE (group_id, resource_type, resource_id))",
		"CREATE INDEX by_user ON user_group_members (user_id)",
	} {
		if _, err := db.ExecContext(b.Context(), s); err != nil {
			b.Fatal(err)
		}
	}
	rows := map[string][][]driver.Value{}
	for _, g := range d.Groups {
		rows["user_groups"] = append(rows["user_groups"], []driver.Value{g.ID.String(), g.Name})
	}
	for _, m := range d.Members {
		rows["user_group_members"] = append(rows["user_group_members"], []driver.Value{m.User.String(), m.Group.String(), string(m.Source)})
	}
	for _, g := range d.Grants {
		rows["resource_grants"] = append(rows["resource_grants"], []driver.Value{g.ID.String(), g.Group.String(), g.Type, g.Resource})
	}
	for table, all := range rows {
		if err := appendAll(b.Context(), connector, table, all); err != nil {
			b.Fatal(err)
		}
	}
	if _, err := db.ExecContext(b.Context(), "CREATE INDEX by_resource ON resource_grants (resource_id)"); err != nil {
		b.Fatal(err)
	}
	prepared := func(text string) *sql.Stmt {
		st, err := db.PrepareContext(b.Context(), text)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { st.Close() })
		return st
	}
	return &accessTables{
		admin: d.Groups[0].ID.String(), everyone: d.Groups[1].ID.String(),
		groups: prepared(`SELECT group_id FROM user_group_members WHERE user_id = ?`),
		grant:  prepared(`SELECT 1 FROM resource_grants WHERE resource_id = ? AND resource_type = ? AND list_contains(string_split(?, ','), group_id) LIMIT 1`),
		both: prepared(`SELECT 1 FROM resource_grants r WHERE r.resource_id = ? AND r.resource_type = ? AND (r.group_id = ? OR r.group_id IN
			(SELECT group_id FROM user_group_members WHERE user_id = ?)) LIMIT 1`),
	}
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

// once asks for admins apart in nothing: Admin has no members here, so that the
// shortest way by statements is compared.
func (t *accessTables) once(ctx context.Context, q *accessQuestion) (bool, error) {
	return found(t.both.QueryRowContext(ctx, q.id, q.typ, t.everyone, q.who.User.ID.String()))
}

func (t *accessTables) twice(ctx context.Context, q *accessQuestion) (bool, error) {
	rows, err := t.groups.QueryContext(ctx, q.who.User.ID.String())
	if err != nil {
		return false, err
	}
	defer rows.Close()
	ids := []string{t.everyone}
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return false, err
		}
		if id == t.admin {
			return true, nil
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return false, err
	}
	return found(t.grant.QueryRowContext(ctx, q.id, q.typ, strings.Join(ids, ",")))
}

func found(row *sql.Row) (bool, error) {
	var one int
	err := row.Scan(&one)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}
