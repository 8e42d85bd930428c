package registry

import (
	"context"
	"errors"

	"github.com/muster-fleet/muster/registry/table"
)

// TableQuery is which tables are asked for; zero values ask for all.
type TableQuery struct {
	// Source and Name narrow to tables of a source, or of a name; names are compared
	// without regard to case.
	Source, Name string
	// After is the id behind which the list begins.
	After string
	// Limit is the most tables that are returned; at least 1.
	Limit int
}

// TableReader reads the registry of tables.
type TableReader interface {
	// Table returns one, or ErrNotFound.
	Table(ctx context.Context, id string) (*table.Table, error)
	// Tables returns those that a query asks for, ordered by the bytes of their ids,
	// and how many there are of them before After and behind Limit as well, as of one
	// moment.
	Tables(ctx context.Context, q TableQuery) (tables []*table.Table, count int, err error)
}

// TableTx is what a transaction does with tables. All replicas read tables from the
// store: they are in no snapshot.
type TableTx interface {
	TableReader
	// InsertTables adds tables, whose ids and, within their sources, names are free;
	// ErrTableTaken when one is not, after which the transaction must be given up.
	InsertTables(ctx context.Context, tables []*table.Table) error
	// UpdateTable replaces the table of the same id; ErrNotFound when there is none,
	// ErrTableTaken as above.
	UpdateTable(ctx context.Context, t *table.Table) error
	// DeleteTable removes a table; ErrNotFound when there is none.
	DeleteTable(ctx context.Context, id string) error
}

// ErrTableTaken is for a table whose id is taken, or whose name within its source.
var ErrTableTaken = errors.New("the id or the name of the table is taken")
