// Package agnestest makes files as the agnes analyst leaves them at its schemas v13
// and v14, for tests of what reads them. The columns are literally those of the
// schema.
package agnestest

import (
	"database/sql"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/duckdb/duckdb-go/v2"
)

// The tables at v13; at v14 the second and the third of those below have foreign
// keys.
const (
	users = `CREATE TABLE users (id VARCHAR PRIMARY KEY, email VARCHAR UNIQUE NOT NULL, name VARCHAR, role VARCHAR, password_hash VARCHAR,
setup_token VARCHAR, setup_token_created TIMESTAMP, reset_token VARCHAR, reset_token_created TIMESTAMP, active BOOLEAN NOT NULL DEFAULT true,
deactivated_at TIMESTAMP, deactivated_by VARCHAR, created_at TIMESTAMP, updated_at TIMESTAMP)`
	groups = `CREATE TABLE user_groups (id VARCHAR PRIMARY KEY, name VARCHAR UNIQUE NOT NULL, description VARCHAR,
is_system BOOLEAN DEFAULT false, created_at TIMESTAMP, created_by VARCHAR)`
	members13 = `CREATE TABLE user_group_members (user_id VARCHAR NOT NULL, group_id VARCHAR NOT NULL, source VARCHAR NOT NULL,
added_at TIMESTAMP, added_by VARCHAR, PRIMARY KEY (user_id, group_id))`
	members14 = `CREATE TABLE user_group_members (user_id VARCHAR NOT NULL, group_id VARCHAR NOT NULL REFERENCES user_groups (id), source VARCHAR NOT NULL,
added_at TIMESTAMP, added_by VARCHAR, PRIMARY KEY (user_id, group_id))`
	grants13 = `CREATE TABLE resource_grants (id VARCHAR PRIMARY KEY, group_id VARCHAR NOT NULL, resource_type VARCHAR NOT NULL,
resource_id VARCHAR NOT NULL, assigned_at TIMESTAMP, assigned_by VARCHAR, UNIQUE (group_id, resource_type, resource_id))`
	grants14 = `CREATE TABLE resource_grants (id VARCHAR PRIMARY KEY, group_id VARCHAR NOT NULL REFERENCES user_groups (id), resource_type VARCHAR NOT NULL,
resource_id VARCHAR NOT NULL, assigned_at TIMESTAMP, assigned_by VARCHAR, UNIQUE (group_id, resource_type, resource_id))`
	tokens = `CREATE TABLE personal_access_tokens (id VARCHAR PRIMARY KEY, user_id VARCHAR, name VARCHAR, token_hash VARCHAR, prefix VARCHAR,
scopes VARCHAR, created_at TIMESTAMP, expires_at TIMESTAMP, last_used_at TIMESTAMP, last_used_ip VARCHAR, revoked_at TIMESTAMP)`
	audit = `CREATE TABLE audit_log (id VARCHAR PRIMARY KEY, timestamp TIMESTAMP, user_id VARCHAR, action VARCHAR NOT NULL,
resource VARCHAR, params JSON, result VARCHAR, duration_ms INTEGER)`
	registry = `CREATE TABLE table_registry (id VARCHAR PRIMARY KEY, name VARCHAR NOT NULL, source_type VARCHAR, bucket VARCHAR, source_table VARCHAR,
sync_strategy VARCHAR DEFAULT 'full_refresh', query_mode VARCHAR DEFAULT 'local', sync_schedule VARCHAR, profile_after_sync BOOLEAN DEFAULT true,
primary_key VARCHAR, folder VARCHAR, description VARCHAR, registered_by VARCHAR, is_public BOOLEAN DEFAULT true,
registered_at TIMESTAMP DEFAULT current_timestamp)`
)

// schema are the statements that make an empty file of a version.
func schema(version int) []string {
	members, grants := members13, grants13
	if version >= 14 {
		members, grants = members14, grants14
	}
	return []string{
		`CREATE TABLE schema_version (version INTEGER, applied_at TIMESTAMP)`,
		`INSERT INTO schema_version VALUES (` + strconv.Itoa(version) + `, TIMESTAMP '2026-04-29 10:00:00')`,
		users, groups, members, grants, tokens, audit, registry,
	}
}

// people are rows of every sort. Those that break v14's foreign keys come with v13
// alone.
var people = []string{
	`INSERT INTO users (id, email, name, password_hash, active, deactivated_at, deactivated_by, created_at) VALUES
('u-alice', 'Alice@example.org', 'Alice', 'argon2', true, NULL, NULL, TIMESTAMP '2026-01-01 08:00:00'),
('u-bob', 'bob@example.org', NULL, NULL, true, NULL, NULL, TIMESTAMP '2026-01-02 08:00:00'),
('u-bob-2', 'BOB@example.org', NULL, NULL, true, NULL, NULL, TIMESTAMP '2026-01-03 08:00:00'),
('u-left', 'left@example.org', NULL, NULL, false, TIMESTAMP '2026-02-01 08:00:00', 'u-alice', TIMESTAMP '2026-01-04 08:00:00'),
('u-nameless', '', NULL, NULL, true, NULL, NULL, NULL),
('u-odd', 'not an address', NULL, NULL, true, NULL, NULL, NULL)`,
	`INSERT INTO user_groups VALUES
('aaaa', 'Admin', 'Administrators', true, TIMESTAMP '2026-01-01 07:00:00', 'system'),
('eeee', 'Everyone', NULL, true, TIMESTAMP '2026-01-01 07:00:00', 'system'),
('d474', 'data@example.org', 'From Google', false, TIMESTAMP '2026-01-01 09:00:00', 'system:google-sync'),
('f1f1', 'Finance', NULL, false, TIMESTAMP '2026-01-01 09:00:00', 'Alice@example.org')`,
	`INSERT INTO user_group_members VALUES
('u-alice', 'aaaa', 'system_seed', TIMESTAMP '2026-01-01 08:00:00', 'system'),
('u-bob', 'aaaa', 'cli_break_glass', TIMESTAMP '2026-01-05 08:00:00', NULL),
('u-left', 'aaaa', 'google_sync', TIMESTAMP '2026-01-05 08:00:00', NULL),
('u-alice', 'eeee', 'system_seed', TIMESTAMP '2026-01-01 08:00:00', 'system'),
('u-bob', 'd474', 'google_sync', TIMESTAMP '2026-01-05 08:00:00', 'system:google-sync'),
('u-left', 'f1f1', 'admin', TIMESTAMP '2026-01-05 08:00:00', 'Alice@example.org'),
('u-bob-2', 'f1f1', 'admin', TIMESTAMP '2026-01-05 08:00:00', 'Alice@example.org'),
('u-alice', 'f1f1', 'telepathy', NULL, NULL),
('u-gone', 'f1f1', 'admin', NULL, NULL)`,
	`INSERT INTO resource_grants VALUES
('r-1', 'f1f1', 'marketplace_plugin', 'main/finance', TIMESTAMP '2026-01-06 08:00:00', 'Alice@example.org'),
('r-2', 'd474', 'marketplace_plugin', '  main/data ', TIMESTAMP '2026-01-06 08:00:00', NULL),
('r-3', 'd474', 'marketplace_plugin', 'main/data', TIMESTAMP '2026-01-07 08:00:00', NULL),
('r-4', 'd474', 'marketplace_plugin', 'no plugin', NULL, NULL),
('r-5', 'f1f1', 'table', 'in.c-crm.contacts', NULL, NULL),
('r-6', 'f1f1', 'starship', 'x', NULL, NULL)`,
	`INSERT INTO personal_access_tokens (id, user_id, name) VALUES ('t-1', 'u-alice', 'ci')`,
	`INSERT INTO table_registry VALUES
('orders', 'Orders', 'keboola', 'in.c-crm', 'orders', 'full_refresh', 'local', 'every 1h', true, '["id", "line"]', 'Sales', 'All orders', 'Alice@example.org', true, TIMESTAMP '2026-01-08 08:00:00'),
('in_c-crm_contacts', 'contacts', 'keboola', 'in.c-crm', 'contacts', 'incremental', 'local', 'daily 06:00,18:30', false, '[''id'', ''region'']', NULL, NULL, NULL, false, TIMESTAMP '2026-01-08 09:00:00'),
('in_c-crm_notes', 'notes', 'keboola', 'in.c-crm', 'notes', 'partitioned', 'remote', NULL, NULL, 'id, line', '', '', '', true, TIMESTAMP '2026-01-08 10:00:00'),
('issues', 'issues', 'jira', NULL, NULL, 'full_refresh', 'local', NULL, true, 'issue_key', NULL, NULL, 'Alice@example.org', false, TIMESTAMP '2026-01-08 11:00:00'),
('bare', 'bare', NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL),
('t-schedule', 'hourly', 'keboola', NULL, NULL, 'full_refresh', 'local', 'every  1h', true, NULL, NULL, NULL, NULL, true, TIMESTAMP '2026-01-09 08:00:00'),
('t-dashes', 'in-dashes', 'keboola', NULL, NULL, 'full_refresh', 'local', NULL, true, NULL, NULL, NULL, NULL, true, TIMESTAMP '2026-01-09 08:00:00'),
('t-key', 'keyed', 'keboola', NULL, NULL, 'full_refresh', 'local', NULL, true, '[''id', NULL, NULL, NULL, true, TIMESTAMP '2026-01-09 08:00:00'),
('t-same', 'ORDERS', 'keboola', NULL, NULL, 'full_refresh', 'local', NULL, true, NULL, NULL, NULL, NULL, true, TIMESTAMP '2026-01-09 08:00:00'),
('a/b', 'slashed', 'keboola', NULL, NULL, 'full_refresh', 'local', NULL, true, NULL, NULL, NULL, NULL, true, TIMESTAMP '2026-01-09 08:00:00')`,
}

// orphans break the foreign keys of v14.
var orphans = []string{
	`INSERT INTO user_group_members VALUES ('u-alice', 'gone', 'admin', NULL, NULL)`,
	`INSERT INTO resource_grants VALUES ('r-7', 'gone', 'marketplace_plugin', 'main/data', NULL, NULL)`,
}

// File makes a file of a version with people of every sort, and returns its path.
// extra statements are run last.
func File(t testing.TB, version int, extra ...string) string {
	t.Helper()
	statements := append(schema(version), people...)
	if version < 14 {
		statements = append(statements, orphans...)
	}
	return Make(t, append(statements, extra...)...)
}

// Make makes a file by statements alone, and returns its path.
func Make(t testing.TB, statements ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "system.duckdb")
	connector, err := duckdb.NewConnector(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	db := sql.OpenDB(connector)
	for _, statement := range append(statements, "CHECKPOINT") {
		if _, err := db.ExecContext(t.Context(), statement); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	return path
}
