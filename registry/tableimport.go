package registry

import (
	"context"
	"strings"

	"github.com/muster-fleet/muster/registry/table"
)

// tablesAtOnce is how many tables are read at once.
const tablesAtOnce = 1000

// ImportTable is a table as another store has it. What is empty there has the default
// here.
type ImportTable struct {
	// Table has the id of the other store, which it keeps, and so it does with who
	// registered it and when. Its revision means nothing.
	Table table.Table
	// KeyText is the primary key in any of the ways that table.ParseKey reads.
	KeyText string
}

// takenTables are the tables that there are, and those to come.
type takenTables struct {
	byID  map[string]*table.Table
	names map[string]string // ids, by source and folded name
}

func nameOf(t *table.Table) string { return t.Source + "." + strings.ToLower(t.Name) }

func (k *takenTables) add(t *table.Table) { k.byID[t.ID], k.names[nameOf(t)] = t, t.ID }

// allTables reads the registry of tables, which is bounded by table.MaxTables.
func allTables(ctx context.Context, tx Tx) (*takenTables, error) {
	k := &takenTables{byID: map[string]*table.Table{}, names: map[string]string{}}
	for q := (TableQuery{Limit: tablesAtOnce}); ; {
		some, _, err := tx.Tables(ctx, q)
		if err != nil {
			return nil, err
		}
		for _, t := range some {
			k.add(t)
			q.After = t.ID
		}
		if len(some) < tablesAtOnce {
			return k, nil
		}
	}
}

// takeTables brings those that are good, and whose ids and names are free.
func (m *importer) takeTables(ctx context.Context, tx Tx, in *Import) error {
	if len(in.Tables) == 0 {
		return nil
	}
	taken, err := allTables(ctx, tx)
	if err != nil {
		return err
	}
	for i := range in.Tables {
		t, why := m.imported(&in.Tables[i])
		if why != "" {
			m.left(ImportedTable, in.Tables[i].Table.ID, "%s", why)
			continue
		}
		here := taken.byID[t.ID]
		owner, named := taken.names[nameOf(t)]
		switch {
		case here != nil && here.SameWish(t):
			m.report.Tables.Present++
			continue
		case here != nil:
			m.left(ImportedTable, t.ID, "has the id of a table that is registered here and says otherwise")
			continue
		case named && owner != t.ID:
			m.left(ImportedTable, t.ID, "has the name of another table of its source, but perhaps for upper and lower case, which is the same here")
			continue
		case len(taken.byID) >= table.MaxTables:
			m.left(ImportedTable, t.ID, "is one too many: %d tables can be registered", table.MaxTables)
			continue
		}
		taken.add(t)
		m.tables = append(m.tables, t)
		m.note(ActionTableRegistered, tableResource(t.ID), nil, tableForAudit(t))
		m.report.Tables.Brought++
	}
	return nil
}

// imported is a table as it would be registered here, or why it is not: the same
// words for all of one mistake.
func (m *importer) imported(in *ImportTable) (t *table.Table, why string) {
	made := in.Table
	made.Name = strings.TrimSpace(made.Name)
	defaults := table.New()
	orDefault(&made.Source, defaults.Source)
	orDefault(&made.Strategy, defaults.Strategy)
	orDefault(&made.Mode, defaults.Mode)
	made.Folder = strings.TrimSpace(made.Folder)
	made.RegisteredBy, made.RegisteredAt = m.who(made.RegisteredBy), m.at(made.RegisteredAt)
	made.UpdatedAt, made.Revision = m.now, 1
	if table.CheckID(made.ID) != nil {
		return nil, "has an id with other characters than letters, digits, dots, dashes and _ of ASCII, or too many"
	}
	key, err := table.ParseKey(in.KeyText)
	if err != nil {
		return nil, "has a primary key that cannot be read"
	}
	made.PrimaryKey = keyOrNone(key)
	var v violations
	checkTable(&made, &v)
	if len(v.list) > 0 {
		return nil, badMember[v.list[0].Pointer]
	}
	return &made, ""
}

// orDefault replaces a text that is empty, or nothing but white space.
func orDefault[T ~string](text *T, otherwise T) {
	if *text = T(strings.TrimSpace(string(*text))); *text == "" {
		*text = otherwise
	}
}

// badMember is why a table is left out, by the member that is wrong. It repeats
// nothing of the other store.
var badMember = map[string]string{
	"/name":          "has a name with other characters than letters, digits and _ of ASCII, or too many: no view can be called so; register it under another",
	"/source_type":   "has a source that is none here and cannot be the name of a custom one",
	"/bucket":        "has a bucket that no source can have",
	"/source_table":  "has a source_table that no source can have",
	"/sync_strategy": "has a sync_strategy that is not known here",
	"/query_mode":    "has a query_mode that is not known here",
	"/sync_schedule": "has a sync_schedule that is none here",
	"/folder":        "has a folder that cannot be kept",
	"/description":   "has a description that cannot be kept",
	"/primary_key":   "has a primary key that cannot be one",
}
