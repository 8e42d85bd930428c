package store

import (
	"bytes"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/muster-fleet/muster/registry/access"
)

// accessTable is one table of access control. Its first keys columns are its
// primary key, its last one the revision of the row's last change.
type accessTable struct {
	name    string
	keys    int
	columns []string
}

func usersTable() *accessTable {
	return &accessTable{name: "users", keys: 1, columns: []string{
		"id", "issuer", "subject", "email", "email_key", "username", "name", "active", "deactivated_at", "deactivated_by",
		"synced_at", "confirmed_at", "created_at", "updated_at", "revision", "changed",
	}}
}

func groupsTable() *accessTable {
	return &accessTable{name: "user_groups", keys: 1, columns: []string{
		"id", "name", "description", "is_system", "created_at", "updated_at", "created_by", "revision", "changed",
	}}
}

func membersTable() *accessTable {
	return &accessTable{name: "user_group_members", keys: 3, columns: []string{
		"user_id", "group_id", "source", "added_at", "added_by", "changed",
	}}
}

func grantsTable() *accessTable {
	return &accessTable{name: "resource_grants", keys: 1, columns: []string{
		"id", "group_id", "resource_type", "resource_id", "expires_at", "assigned_at", "assigned_by", "changed",
	}}
}

func tokensTable() *accessTable {
	return &accessTable{name: "personal_access_tokens", keys: 1, columns: []string{
		"id", "user_id", "name", "token_hash", "prefix", "scopes", "created_at", "expires_at", "revoked_at", "revoked_by",
		"last_used_at", "last_used_ip", "changed",
	}}
}

// update is the statement that changes a row, with the columns as parameters.
func (a *accessTable) update() string {
	var set, where []string
	for i, column := range a.columns {
		equal := column + " = $" + strconv.Itoa(i+1)
		if i < a.keys {
			where = append(where, equal)
		} else {
			set = append(set, equal)
		}
	}
	return "UPDATE " + a.name + " SET " + strings.Join(set, ", ") + " WHERE " + strings.Join(where, " AND ")
}

// among is a condition for rows whose keys are in lists, one for each column.
func (a *accessTable) among() string {
	if a.keys == 1 {
		return a.columns[0] + ` IN (SELECT unnest($1::TEXT[])::UUID)`
	}
	return `(user_id, group_id, source) IN
		(SELECT unnest($1::TEXT[])::UUID, unnest($2::TEXT[])::UUID, unnest($3::TEXT[]))`
}

// selects reads all columns.
func (a *accessTable) selects() string {
	return "SELECT " + strings.Join(a.columns, ", ") + " FROM " + a.name
}

// page are the rows behind a key, which is the first parameters, at most as many
// as the last one says.
func (a *accessTable) page() string {
	if a.keys == 1 {
		return ` WHERE id > $1 ORDER BY id LIMIT $2`
	}
	return ` WHERE (user_id, group_id, source) > ($1::UUID, $2::UUID, $3::TEXT) ORDER BY user_id, group_id, source LIMIT $4`
}

// keyExpression is a row's key as text, as key tells it.
func (a *accessTable) keyExpression() string {
	return strings.Join(a.columns[:a.keys], "::TEXT || '/' || ") + "::TEXT"
}

// key is a row's key as text.
func (a *accessTable) key(row []driver.Value) string {
	parts := make([]string, a.keys)
	for i := range parts {
		parts[i] = keyText(row[i])
	}
	return strings.Join(parts, "/")
}

// keyText is the value of a key's column: an id or a text.
func keyText(v driver.Value) string {
	if id, is := v.(access.ID); is {
		return id.String()
	}
	return fmt.Sprint(v)
}

// lists are the arguments of among for keys of the table's own kind.
func lists(ids []access.ID) []any {
	text := make([]string, len(ids))
	for i, id := range ids {
		text[i] = id.String()
	}
	return []any{text}
}

func memberLists(keys []access.MemberKey) []any {
	users, groups, sources := make([]string, len(keys)), make([]string, len(keys)), make([]string, len(keys))
	for i, k := range keys {
		users[i], groups[i], sources[i] = k.User.String(), k.Group.String(), string(k.Source)
	}
	return []any{users, groups, sources}
}

// memberName is a membership's key among the deletions.
func memberName(k access.MemberKey) string {
	return k.User.String() + "/" + k.Group.String() + "/" + string(k.Source)
}

func parseMemberName(s string) (k access.MemberKey, err error) {
	parts := strings.SplitN(s, "/", 3)
	if len(parts) != 3 {
		return k, fmt.Errorf("%q is no membership", s)
	}
	if err := k.User.UnmarshalText([]byte(parts[0])); err != nil {
		return k, fmt.Errorf("the user of the membership %q: %w", s, err)
	}
	if err := k.Group.UnmarshalText([]byte(parts[1])); err != nil {
		return k, fmt.Errorf("the group of the membership %q: %w", s, err)
	}
	k.Source = access.Source(parts[2])
	return k, nil
}

// nullText and nullAt write what is unknown as NULL.
func nullText(s string) driver.Value {
	if s == "" {
		return nil
	}
	return s
}

func nullAt(at time.Time) driver.Value {
	if at.IsZero() {
		return nil
	}
	return at.UTC()
}

// The rows, in the order of the columns.

func userRow(u *access.User, rev int64) []driver.Value {
	return []driver.Value{
		u.ID, nullText(u.Issuer), nullText(u.Subject), nullText(u.Email), nullText(access.FoldEmail(u.Email)), u.Username, u.Name,
		u.Active, nullAt(u.DeactivatedAt), u.DeactivatedBy, nullAt(u.SyncedAt), nullAt(u.ConfirmedAt),
		u.CreatedAt.UTC(), u.UpdatedAt.UTC(), u.Revision, rev,
	}
}

func groupRow(g *access.Group, rev int64) []driver.Value {
	return []driver.Value{
		g.ID, g.Name, g.Description, g.System, g.CreatedAt.UTC(), g.UpdatedAt.UTC(), g.CreatedBy, g.Revision, rev,
	}
}

func memberRow(m *access.Member, rev int64) []driver.Value {
	return []driver.Value{m.User, m.Group, string(m.Source), m.AddedAt.UTC(), m.AddedBy, rev}
}

func grantRow(g *access.Grant, rev int64) []driver.Value {
	return []driver.Value{
		g.ID, g.Group, g.Type, g.Resource, nullAt(g.Expires), g.AssignedAt.UTC(), g.AssignedBy, rev,
	}
}

func tokenRow(t *access.Token, rev int64) ([]driver.Value, error) {
	scopes, err := json.Marshal(t.Scopes)
	if err != nil {
		return nil, fmt.Errorf("scopes of token %s: %w", t.ID, err)
	}
	// DuckDB's driver hands the digest to C, which must not see the token around it.
	digest := bytes.Clone(t.Digest[:])
	return []driver.Value{
		t.ID, t.User, t.Name, digest, t.Prefix, string(scopes), t.CreatedAt.UTC(), nullAt(t.Expires),
		nullAt(t.RevokedAt), t.RevokedBy, nullAt(t.LastUsed), t.LastAddress, rev,
	}, nil
}
