package agnes

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
)

// tables reads table_registry, of which a file that was mended by hand may lack
// columns.
func (f *file) tables(ctx context.Context, a *Archive) error {
	const name = "table_registry"
	have, err := f.columns(ctx, name)
	if err != nil {
		return err
	}
	column := func(column, kind string) string {
		if !slices.Contains(have, column) {
			return "CAST(NULL AS " + kind + ")"
		}
		return "CAST(" + column + " AS " + kind + ")"
	}
	var wanted []string
	for _, text := range []string{
		"id", "name", "source_type", "bucket", "source_table", "sync_strategy", "query_mode", "sync_schedule", "primary_key", "folder",
		"description", "registered_by",
	} {
		wanted = append(wanted, column(text, "VARCHAR"))
	}
	wanted = append(wanted, column("profile_after_sync", "BOOLEAN"), column("is_public", "BOOLEAN"), column("registered_at", "TIMESTAMP"))
	query := fmt.Sprintf("SELECT %s FROM main.table_registry ORDER BY 15, 1 LIMIT %d", strings.Join(wanted, ", "), maxTables+1)
	err = f.rows(ctx, name, query, func(row *sql.Rows) error {
		t := Table{}
		var profile, public sql.NullBool
		err := row.Scan(text{&t.ID}, text{&t.Name}, text{&t.Source}, text{&t.Bucket}, text{&t.SourceTable}, text{&t.Strategy}, text{&t.Mode},
			text{&t.Schedule}, text{&t.PrimaryKey}, text{&t.Folder}, text{&t.Description}, text{&t.RegisteredBy},
			&profile, &public, moment{&t.RegisteredAt})
		t.Profile, t.Public = profile.Bool || !profile.Valid, public.Bool
		a.Tables = append(a.Tables, t)
		return err
	})
	if err == nil && len(a.Tables) > maxTables {
		err = bad(f.path, "has more than %d rows in %s", maxTables, name)
	}
	return err
}
