package store

import (
	"context"
	"database/sql/driver"
	"fmt"
	"maps"
	"slices"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// manyRows is from how many rows on a change asks the engine for patience.
const manyRows = 1000

// ApplyAccess implements registry.AccessTx. It takes a few statements for each
// kind of record, however many there are. What is gone goes first, so that its
// names are free; keys are not taken again in the same transaction, see the
// comment on top of transaction.go.
func (t *transaction) ApplyAccess(ctx context.Context, d *access.Delta) error {
	if d.Empty() {
		return nil
	}
	// Groups and users may have many members and grants, of which d does not tell.
	if len(d.GoneGroups)+len(d.GoneUsers) > 0 || len(d.Members)+len(d.Grants)+len(d.GoneMembers)+len(d.GoneGrants) > manyRows {
		if err := t.many(ctx); err != nil {
			return err
		}
	}
	if err := t.removeAccess(ctx, d); err != nil {
		return err
	}
	if err := t.putAccess(ctx, d); err != nil {
		return err
	}
	return t.forget(ctx)
}

// removeAccess removes what is gone, and what goes along with it, children before
// parents.
func (t *transaction) removeAccess(ctx context.Context, d *access.Delta) error {
	for _, gone := range []struct {
		table *accessTable
		of    string // the column that names the parent; empty for the table's own key
		n     int
		args  func() []any
	}{
		{membersTable(), "", len(d.GoneMembers), func() []any { return memberLists(d.GoneMembers) }},
		{membersTable(), "group_id", len(d.GoneGroups), func() []any { return lists(d.GoneGroups) }},
		{membersTable(), "user_id", len(d.GoneUsers), func() []any { return lists(d.GoneUsers) }},
		{grantsTable(), "", len(d.GoneGrants), func() []any { return lists(d.GoneGrants) }},
		{grantsTable(), "group_id", len(d.GoneGroups), func() []any { return lists(d.GoneGroups) }},
		{tokensTable(), "", len(d.GoneTokens), func() []any { return lists(d.GoneTokens) }},
		{tokensTable(), "user_id", len(d.GoneUsers), func() []any { return lists(d.GoneUsers) }},
		{groupsTable(), "", len(d.GoneGroups), func() []any { return lists(d.GoneGroups) }},
		{usersTable(), "", len(d.GoneUsers), func() []any { return lists(d.GoneUsers) }},
	} {
		if gone.n == 0 {
			continue
		}
		where := gone.table.among()
		if gone.of != "" {
			where = gone.of + ` IN (SELECT unnest($1::TEXT[])::UUID)`
		}
		if err := t.exec(ctx, "remove from "+gone.table.name, `DELETE FROM `+gone.table.name+` WHERE `+where, gone.args()...); err != nil {
			return err
		}
	}
	return t.rememberAccess(ctx, d)
}

// The kinds of deletions of access control.
const (
	kindUser   = "user"
	kindGroup  = "group"
	kindMember = "member"
	kindGrant  = "grant"
	kindToken  = "token"
)

// rememberAccess notes what d says is gone. What goes along with a group or a user
// is not noted: whoever hears of those knows.
func (t *transaction) rememberAccess(ctx context.Context, d *access.Delta) error {
	names := make([]string, len(d.GoneMembers))
	for i, k := range d.GoneMembers {
		names[i] = memberName(k)
	}
	for _, gone := range []struct {
		kind string
		ids  []any
	}{
		{kindUser, lists(d.GoneUsers)}, {kindGroup, lists(d.GoneGroups)}, {kindMember, []any{names}},
		{kindGrant, lists(d.GoneGrants)}, {kindToken, lists(d.GoneTokens)},
	} {
		if len(gone.ids[0].([]string)) == 0 {
			continue
		}
		err := t.exec(ctx, "note deletions", `INSERT INTO deletions (kind, id, revision)
			SELECT $2::TEXT, unnest($1::TEXT[]), $3::BIGINT
			ON CONFLICT (kind, id) DO UPDATE SET revision = excluded.revision`, gone.ids[0], gone.kind, int64(t.rev))
		if err != nil {
			return err
		}
	}
	return nil
}

// putAccess stores what is put, parents before children.
func (t *transaction) putAccess(ctx context.Context, d *access.Delta) error {
	rev := int64(t.rev)
	err := put(ctx, t, usersTable(), d.Users, func(u *access.User) ([]driver.Value, error) { return userRow(u, rev), nil })
	if err != nil {
		return err
	}
	err = put(ctx, t, groupsTable(), d.Groups, func(g *access.Group) ([]driver.Value, error) { return groupRow(g, rev), nil })
	if err != nil {
		return err
	}
	if err := t.haveParents(ctx, d); err != nil {
		return err
	}
	err = put(ctx, t, membersTable(), d.Members, func(m *access.Member) ([]driver.Value, error) { return memberRow(m, rev), nil })
	if err != nil {
		return err
	}
	err = put(ctx, t, grantsTable(), d.Grants, func(g *access.Grant) ([]driver.Value, error) { return grantRow(g, rev), nil })
	if err != nil {
		return err
	}
	return put(ctx, t, tokensTable(), d.Tokens, func(k *access.Token) ([]driver.Value, error) { return tokenRow(k, rev) })
}

// put stores records of one kind.
func put[T any](
	ctx context.Context, t *transaction, a *accessTable, all []T, row func(*T) ([]driver.Value, error),
) (err error) {
	for some := range slices.Chunk(all, chunk) {
		rows := make([][]driver.Value, len(some))
		for i := range some {
			if rows[i], err = row(&some[i]); err != nil {
				return err
			}
		}
		if err := t.putRows(ctx, a, rows); err != nil {
			return err
		}
	}
	return nil
}

// putRows changes the rows that are there and appends the others together.
func (t *transaction) putRows(ctx context.Context, a *accessTable, rows [][]driver.Value) error {
	there, err := t.keysAmong(ctx, a, rows)
	if err != nil {
		return err
	}
	var fresh, old [][]driver.Value
	for _, row := range rows {
		if _, is := there[a.key(row)]; is {
			old = append(old, row)
		} else {
			fresh = append(fresh, row)
		}
	}
	if err := t.updateRows(ctx, a, old); err != nil || len(fresh) == 0 {
		return err
	}
	return t.explain("store in "+a.name, t.engine.Append(ctx, t.conn, a.name, a.columns, slices.Values(fresh)))
}

// updateRows changes rows one by one: only names, ends and times ever change, and
// of few records at once.
func (t *transaction) updateRows(ctx context.Context, a *accessTable, rows [][]driver.Value) error {
	if len(rows) == 0 {
		return nil
	}
	return t.explain("store in "+a.name, t.tx.execEach(ctx, a.update(), rows))
}

// keysAmong finds which of the rows' keys are there.
func (t *transaction) keysAmong(ctx context.Context, a *accessTable, rows [][]driver.Value) (map[string]struct{}, error) {
	args := make([]any, a.keys)
	for column := range a.keys {
		values := make([]string, len(rows))
		for i, row := range rows {
			values[i] = keyText(row[column])
		}
		args[column] = values
	}
	return t.keysOf(ctx, a, args)
}

func (t *transaction) keysOf(ctx context.Context, a *accessTable, args []any) (map[string]struct{}, error) {
	query := `SELECT ` + a.keyExpression() + ` FROM ` + a.name + ` WHERE ` + a.among()
	rows, err := t.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, t.explain("look into "+a.name, err)
	}
	there := map[string]struct{}{}
	_, err = collect(rows, func(row scanner) (none struct{}, err error) {
		var key string
		err = row.Scan(&key)
		there[key] = none
		return none, err
	})
	return there, t.explain("look into "+a.name, err)
}

// haveParents makes sure that the groups and users of what is put are there:
// PostgreSQL would refuse it, DuckDB would not.
func (t *transaction) haveParents(ctx context.Context, d *access.Delta) error {
	users, groups := map[access.ID]struct{}{}, map[access.ID]struct{}{}
	for i := range d.Members {
		users[d.Members[i].User], groups[d.Members[i].Group] = struct{}{}, struct{}{}
	}
	for i := range d.Grants {
		groups[d.Grants[i].Group] = struct{}{}
	}
	for i := range d.Tokens {
		users[d.Tokens[i].User] = struct{}{}
	}
	if err := t.haveAll(ctx, usersTable(), users); err != nil {
		return err
	}
	return t.haveAll(ctx, groupsTable(), groups)
}

func (t *transaction) haveAll(ctx context.Context, a *accessTable, ids map[access.ID]struct{}) error {
	if len(ids) == 0 {
		return nil
	}
	there, err := t.keysOf(ctx, a, lists(slices.Collect(maps.Keys(ids))))
	if err != nil {
		return err
	}
	for id := range ids {
		if _, is := there[id.String()]; !is {
			return fmt.Errorf("%s has no %s: %w", a.name, id, registry.ErrNotFound)
		}
	}
	return nil
}
