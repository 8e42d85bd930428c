package agnes

import "time"

// The schemas that are read.
const (
	OldestSchema = 13
	NewestSchema = 14
)

// The sources of memberships as the file has them.
const (
	SourceSeed       = "system_seed"
	SourceAdmin      = "admin"
	SourceGoogle     = "google_sync"
	SourceBreakGlass = "cli_break_glass"
)

// Archive is what a file holds of access control and of its registry of tables. Texts are as they stand there,
// those longer than MaxText cut to one byte more, so that no check lets them pass.
type Archive struct {
	// Schema is the file's version.
	Schema  int
	Users   []User
	Groups  []Group
	Members []Member
	Grants  []Grant
	Tables  []Table
	// Others are the numbers of rows in tables that hold what Muster has no place
	// for, by the table's name; tables that are not there are left out.
	Others map[string]int64
	// Passwords is how many users have one.
	Passwords int64
}

// User is a row of users.
type User struct {
	ID, Email, Name string
	Active          bool
	DeactivatedAt   time.Time
	DeactivatedBy   string
	CreatedAt       time.Time
}

// Group is a row of user_groups.
type Group struct {
	ID, Name, Description string
	System                bool
	CreatedAt             time.Time
	CreatedBy             string
}

// Member is a row of user_group_members.
type Member struct {
	UserID, GroupID, Source string
	AddedAt                 time.Time
	AddedBy                 string
}

// Grant is a row of resource_grants.
type Grant struct {
	ID, GroupID, Type, Resource string
	AssignedAt                  time.Time
	AssignedBy                  string
}

// Table is a row of table_registry. Columns that a file lacks are as if they were null
// in all rows; so is what is null here, but for Profile, which is true by default.
type Table struct {
	ID, Name, Source, Bucket, SourceTable string
	Strategy, Mode, Schedule              string
	Profile                               bool
	PrimaryKey                            string
	Folder, Description, RegisteredBy     string
	// Public has everybody read it there.
	Public       bool
	RegisteredAt time.Time
}

// MaxText is the longest text that is taken whole, in bytes.
const MaxText = 4096

// maxRows bounds the rows of one table, maxTables those of table_registry.
const (
	maxRows   = 1_000_000
	maxTables = 100_000
)

// table is a table that is read, with the columns that it must have.
type table struct {
	name    string
	columns []string
}

// tables are literally as the file's schema has them.
var tables = []table{
	{"users", []string{"id", "email", "name", "password_hash", "active", "deactivated_at", "deactivated_by", "created_at"}},
	{"user_groups", []string{"id", "name", "description", "is_system", "created_at", "created_by"}},
	{"user_group_members", []string{"user_id", "group_id", "source", "added_at", "added_by"}},
	{"resource_grants", []string{"id", "group_id", "resource_type", "resource_id", "assigned_at", "assigned_by"}},
	{"table_registry", []string{"id", "name"}}, // the others came one by one
}

// others are tables whose rows are only counted.
var others = []string{"personal_access_tokens", "dataset_permissions", "access_requests", "audit_log"}

// Others are the names of the tables whose rows are only counted, in order.
func Others() []string { return append([]string(nil), others...) }
