package table

import (
	"slices"
	"strings"
	"time"
)

// Strategy is how much of a table a synchronisation takes.
type Strategy string

// The strategies.
const (
	// FullRefresh takes all of it each time; it is the default.
	FullRefresh Strategy = "full_refresh"
	// Incremental takes what has changed since the last time.
	Incremental Strategy = "incremental"
	// Partitioned is Incremental, kept in a file for each span of time.
	Partitioned Strategy = "partitioned"
)

// Strategies are all there are.
func Strategies() []Strategy { return []Strategy{FullRefresh, Incremental, Partitioned} }

// Mode is where the rows are when a table is read.
type Mode string

// The modes.
const (
	// Local has them copied into the extract; it is the default.
	Local Mode = "local"
	// Remote leaves them at the source, which each query asks.
	Remote Mode = "remote"
	// Materialized has the result of a query at the source copied.
	Materialized Mode = "materialized"
)

// Modes are all there are.
func Modes() []Mode { return []Mode{Local, Remote, Materialized} }

// SourceLocal is the source of tables whose files nobody fetches; it is the default.
const SourceLocal = "local"

// Sources are those that come with Muster. Others may be registered as well: see
// CheckSource.
func Sources() []string {
	return []string{"bigquery", "files", "jira", "keboola", SourceLocal, "postgres"}
}

// Table is one table of a source, as an administrator wishes it. It says nothing of
// whether the source has it or when it was last read. It must not be changed once it
// has been stored.
type Table struct {
	// ID is its identity for ever; see CheckID and IDOf.
	ID string
	// Name is what it is published and read as; see CheckName. No two tables of one
	// source have names that differ in nothing but case.
	Name string
	// Source is what it is read from; see CheckSource.
	Source string
	// Bucket and SourceTable are where it is at the source; both may be empty. See
	// CheckUpstream.
	Bucket, SourceTable string
	Strategy            Strategy
	Mode                Mode
	// Schedule is when it is synchronised, empty for only when asked; see
	// CheckSchedule.
	Schedule string
	// Profile asks for a profile of its columns after each synchronisation.
	Profile bool
	// PrimaryKey are the columns that tell its rows apart, in order; nil for none.
	PrimaryKey []string
	// Folder is what people find it under, Description what they read of it; both may
	// be empty.
	Folder, Description     string
	RegisteredBy            string
	RegisteredAt, UpdatedAt time.Time
	// Revision counts the changes of the record, from 1 on.
	Revision int64
}

// New is a table with the defaults of everything that has one.
func New() Table {
	return Table{Source: SourceLocal, Strategy: FullRefresh, Mode: Local, Profile: true}
}

// IDOf is the id of a table that is registered by its name: the name in lower case,
// without white space around it, and with _ for each space.
func IDOf(name string) string {
	return strings.ReplaceAll(strings.ToLower(strings.TrimSpace(name)), " ", "_")
}

// Dataset is the id of the dataset that grants name: source and name.
func (t *Table) Dataset() string { return t.Source + "." + t.Name }

// SameWish reports whether two tables say the same, whoever said it and when.
func (t *Table) SameWish(o *Table) bool { return len(t.Changed(o)) == 0 }

// Changed are the names of the members that o has otherwise, as the API calls them,
// in its order; nil for none. The id is not compared.
func (t *Table) Changed(o *Table) []string {
	var names []string
	for _, m := range []struct {
		name string
		same bool
	}{
		{"name", t.Name == o.Name},
		{"source_type", t.Source == o.Source},
		{"bucket", t.Bucket == o.Bucket},
		{"source_table", t.SourceTable == o.SourceTable},
		{"sync_strategy", t.Strategy == o.Strategy},
		{"query_mode", t.Mode == o.Mode},
		{"sync_schedule", t.Schedule == o.Schedule},
		{"profile_after_sync", t.Profile == o.Profile},
		{"primary_key", slices.Equal(t.PrimaryKey, o.PrimaryKey)},
		{"folder", t.Folder == o.Folder},
		{"description", t.Description == o.Description},
	} {
		if !m.same {
			names = append(names, m.name)
		}
	}
	return names
}
