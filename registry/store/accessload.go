package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"

	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/access"
)

// loadAccess reads what changed of access control.
func (d *Database) loadAccess(ctx context.Context, tx *querier, since registry.Revision, c *registry.Changes) error {
	l := accessLoad{tx: tx, since: since, full: c.Full, texts: map[string]string{}}
	var delta access.Delta
	var err error
	if delta.Users, err = read(ctx, &l, usersTable(), l.user, func(u *access.User) []any { return []any{u.ID} }); err != nil {
		return d.explain("read the users", err)
	}
	if delta.Groups, err = read(ctx, &l, groupsTable(), l.group, func(g *access.Group) []any { return []any{g.ID} }); err != nil {
		return d.explain("read the groups", err)
	}
	delta.Members, err = read(ctx, &l, membersTable(), l.member,
		func(m *access.Member) []any { return []any{m.User, m.Group, string(m.Source)} })
	if err != nil {
		return d.explain("read the memberships", err)
	}
	if delta.Grants, err = read(ctx, &l, grantsTable(), l.grant, func(g *access.Grant) []any { return []any{g.ID} }); err != nil {
		return d.explain("read the grants", err)
	}
	if delta.Tokens, err = read(ctx, &l, tokensTable(), l.token, func(t *access.Token) []any { return []any{t.ID} }); err != nil {
		return d.explain("read the tokens", err)
	}
	if !c.Full {
		if err := l.deletions(ctx, &delta); err != nil {
			return d.explain("read the deletions", err)
		}
	}
	if !delta.Empty() {
		c.Access = &delta
	}
	return nil
}

// accessLoad is one reading of access control.
type accessLoad struct {
	tx    *querier
	since registry.Revision
	full  bool
	texts map[string]string // what many rows say, kept once
}

// read reads a table: all of it in parts, in the order of its keys, since DuckDB
// holds what a query answers in its own memory; what changed in one go, so that
// PostgreSQL finds it by the revision.
func read[T any](
	ctx context.Context, l *accessLoad, a *accessTable, scan func(scanner) (T, error), key func(*T) []any,
) ([]T, error) {
	if !l.full {
		rows, err := l.tx.QueryContext(ctx, a.selects()+` WHERE changed > $1`, l.since)
		if err != nil {
			return nil, err
		}
		return collect(rows, scan)
	}
	var all []T
	after := []any{uuid.Nil}
	if a.keys > 1 {
		after = []any{uuid.Nil, uuid.Nil, ""}
	}
	for {
		rows, err := l.tx.QueryContext(ctx, a.selects()+a.page(), append(after, chunk)...)
		if err != nil {
			return nil, err
		}
		some, err := collect(rows, scan)
		if err != nil {
			return nil, err
		}
		all = append(all, some...)
		if len(some) < chunk {
			return all, nil
		}
		after = key(&some[len(some)-1])
	}
}

// text keeps one copy of what many rows say.
func (l *accessLoad) text(s string) string {
	if one, seen := l.texts[s]; seen {
		return one
	}
	l.texts[s] = s
	return s
}

func (l *accessLoad) user(row scanner) (u access.User, err error) {
	var issuer, subject, email, key sql.NullString
	var deactivated, synced, confirmed sql.NullTime
	var changed int64
	err = row.Scan(&u.ID, &issuer, &subject, &email, &key, &u.Username, &u.Name, &u.Active, &deactivated, &u.DeactivatedBy,
		&synced, &confirmed, &u.CreatedAt, &u.UpdatedAt, &u.Revision, &changed)
	u.Issuer, u.Subject, u.Email = l.text(issuer.String), subject.String, email.String
	u.DeactivatedAt, u.SyncedAt, u.ConfirmedAt = utc(deactivated.Time), utc(synced.Time), utc(confirmed.Time)
	u.CreatedAt, u.UpdatedAt = utc(u.CreatedAt), utc(u.UpdatedAt)
	return u, err
}

func (l *accessLoad) group(row scanner) (g access.Group, err error) {
	var changed int64
	err = row.Scan(&g.ID, &g.Name, &g.Description, &g.System, &g.CreatedAt, &g.UpdatedAt, &g.CreatedBy, &g.Revision, &changed)
	g.CreatedAt, g.UpdatedAt = utc(g.CreatedAt), utc(g.UpdatedAt)
	return g, err
}

func (l *accessLoad) member(row scanner) (m access.Member, err error) {
	var source string
	var changed int64
	err = row.Scan(&m.User, &m.Group, &source, &m.AddedAt, &m.AddedBy, &changed)
	m.Source, m.AddedAt, m.AddedBy = access.Source(l.text(source)), utc(m.AddedAt), l.text(m.AddedBy)
	return m, err
}

func (l *accessLoad) grant(row scanner) (g access.Grant, err error) {
	var expires sql.NullTime
	var changed int64
	err = row.Scan(&g.ID, &g.Group, &g.Type, &g.Resource, &expires, &g.AssignedAt, &g.AssignedBy, &changed)
	g.Type, g.Expires, g.AssignedAt, g.AssignedBy = l.text(g.Type), utc(expires.Time), utc(g.AssignedAt), l.text(g.AssignedBy)
	return g, err
}

func (l *accessLoad) token(row scanner) (t access.Token, err error) {
	var digest []byte
	var scopes string
	var expires, revoked, used sql.NullTime
	var changed int64
	err = row.Scan(&t.ID, &t.User, &t.Name, &digest, &t.Prefix, &scopes, &t.CreatedAt, &expires, &revoked, &t.RevokedBy,
		&used, &t.LastAddress, &changed)
	if err != nil {
		return t, err
	}
	if copy(t.Digest[:], digest) != len(t.Digest) || len(digest) != len(t.Digest) {
		return t, fmt.Errorf("the digest of token %s has %d bytes", t.ID, len(digest))
	}
	if err := json.Unmarshal([]byte(scopes), &t.Scopes); err != nil {
		return t, fmt.Errorf("the scopes of token %s: %w", t.ID, err)
	}
	t.CreatedAt, t.Expires, t.RevokedAt, t.LastUsed = utc(t.CreatedAt), utc(expires.Time), utc(revoked.Time), utc(used.Time)
	return t, nil
}

// deletions reads what is gone. A group or user that is back is told as gone all
// the same, since what went along is not told of by itself; it is gone before it
// is put.
func (l *accessLoad) deletions(ctx context.Context, d *access.Delta) error {
	rows, err := l.tx.QueryContext(ctx, `SELECT kind, id FROM deletions WHERE kind <> 'worker' AND revision > $1`, l.since)
	if err != nil {
		return err
	}
	back := backAgain(d)
	_, err = collect(rows, func(row scanner) (none struct{}, err error) {
		var kind, name string
		if err := row.Scan(&kind, &name); err != nil {
			return none, err
		}
		if _, is := back[kind+name]; is {
			return none, nil
		}
		return none, addGone(d, kind, name)
	})
	return err
}

// backAgain are the keys of what was put that nothing goes along with.
func backAgain(d *access.Delta) map[string]struct{} {
	back := make(map[string]struct{}, len(d.Members)+len(d.Grants)+len(d.Tokens))
	for i := range d.Members {
		back[kindMember+memberName(d.Members[i].MemberKey)] = struct{}{}
	}
	for i := range d.Grants {
		back[kindGrant+d.Grants[i].ID.String()] = struct{}{}
	}
	for i := range d.Tokens {
		back[kindToken+d.Tokens[i].ID.String()] = struct{}{}
	}
	return back
}

func addGone(d *access.Delta, kind, name string) error {
	if kind == kindMember {
		k, err := parseMemberName(name)
		d.GoneMembers = append(d.GoneMembers, k)
		return err
	}
	id, err := uuid.Parse(name)
	if err != nil {
		return fmt.Errorf("the deleted %s %q: %w", kind, name, err)
	}
	switch kind {
	case kindUser:
		d.GoneUsers = append(d.GoneUsers, id)
	case kindGroup:
		d.GoneGroups = append(d.GoneGroups, id)
	case kindGrant:
		d.GoneGrants = append(d.GoneGrants, id)
	case kindToken:
		d.GoneTokens = append(d.GoneTokens, id)
	default:
		return fmt.Errorf("a deletion of unknown kind %q", kind)
	}
	return nil
}
