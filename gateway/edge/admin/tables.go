package admin

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"

	"github.com/muster-fleet/muster/gateway/edge/rest"
	"github.com/muster-fleet/muster/proto/fault"
	"github.com/muster-fleet/muster/registry"
	"github.com/muster-fleet/muster/registry/table"
)

// codeBadTable is the code of a value that a table cannot have.
const codeBadTable = "bad_table"

func (a *api) listTables(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	q := rest.ReadQuery(r, "source_type", "name", "limit", "cursor")
	limit, after := q.Limit(), listTables.after(q)
	if after != "" && table.CheckID(after) != nil {
		badCursor(q)
	}
	if err := q.Err(); err != nil {
		return err
	}
	all, count, err := a.Registry.Tables(r.Context(), registry.TableQuery{
		Source: q.Get("source_type"), Name: q.Get("name"), After: after, Limit: limit + 1, // one tells whether there are more
	})
	if err != nil {
		return err
	}
	out := TablePage{Count: count}
	out.Tables, out.NextCursor = page(listTables, slices.Values(all), limit,
		func(t *table.Table) string { return t.ID },
		func(t *table.Table) (Table, bool) { return renderTable(t), true })
	return rest.WriteJSON(w, http.StatusOK, out)
}

func (a *api) getTable(w http.ResponseWriter, r *http.Request, _ rest.Caller) error {
	if err := rest.NoQuery(r); err != nil {
		return err
	}
	t, err := a.Registry.Table(r.Context(), r.PathValue("id"))
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, t.Revision, renderTable(t))
}

func (a *api) registerTable(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	f, err := a.tableFields(w, r, rest.MediaJSON)
	if err != nil {
		return err
	}
	t, err := a.Registry.RegisterTable(r.Context(), who.Actor, f, c)
	if err != nil {
		return err
	}
	if !c.DryRun {
		w.Header().Set("Location", registryPath+"/"+url.PathEscape(t.ID))
	}
	return rest.WriteRecord(w, http.StatusCreated, t.Revision, RegisteredTable{ID: t.ID, Name: t.Name, Status: "registered"})
}

func (a *api) updateTable(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	f, err := a.tableFields(w, r, rest.MediaJSON, rest.MediaMergePatch)
	if err != nil {
		return err
	}
	t, updated, err := a.Registry.UpdateTable(r.Context(), who.Actor, r.PathValue("id"), f, c)
	if err != nil {
		return err
	}
	return rest.WriteRecord(w, http.StatusOK, t.Revision, UpdatedTable{ID: t.ID, Updated: append([]string{}, updated...)})
}

func (a *api) deleteTable(w http.ResponseWriter, r *http.Request, who rest.Caller) error {
	c, err := onlyDryRun(r)
	if err != nil {
		return err
	}
	if err := a.Registry.DeleteTable(r.Context(), who.Actor, r.PathValue("id"), c); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// tableFields reads a body of TableInput.
func (a *api) tableFields(w http.ResponseWriter, r *http.Request, mediaTypes ...string) (f registry.TableFields, err error) {
	err = a.body(w, r, func(body []byte) error { f, err = readTable(body); return err }, mediaTypes...)
	return f, err
}

// readTable reads what a request says of a table. A null gives the member its
// default; a name has none.
func readTable(body []byte) (registry.TableFields, error) {
	var r rest.Reader
	var f registry.TableFields
	defaults := table.New()
	text := func(to **string, otherwise string) rest.Field {
		return orDefault(rest.OptionalText(rest.CodeBadRequest, to), func() { *to = &otherwise })
	}
	err := r.Read(body, rest.Fields{
		"name":               rest.OptionalText(rest.CodeBadRequest, &f.Name),
		"source_type":        text(&f.Source, defaults.Source),
		"bucket":             text(&f.Bucket, ""),
		"source_table":       text(&f.SourceTable, ""),
		"sync_strategy":      text(&f.Strategy, string(defaults.Strategy)),
		"query_mode":         text(&f.Mode, string(defaults.Mode)),
		"sync_schedule":      text(&f.Schedule, ""),
		"folder":             text(&f.Folder, ""),
		"description":        text(&f.Description, ""),
		"profile_after_sync": orDefault(rest.Flag(rest.CodeBadRequest, &f.Profile), func() { f.Profile = &defaults.Profile }),
		"primary_key":        orDefault(primaryKey(&f), func() { f.PrimaryKey = &[]string{} }),
	})
	if err == nil {
		err = refused(&r)
	}
	return f, err
}

// orDefault is a member that may also be null, which sets its default.
func orDefault(f rest.Field, otherwise func()) rest.Field {
	set := f.Set
	f.Want += ", or null"
	f.Set = func(raw []byte) bool {
		if string(raw) == "null" {
			otherwise()
			return true
		}
		return set(raw)
	}
	return f
}

// primaryKey is a member that is a list of columns, or a text that table.ParseKey
// reads. What it cannot read is a value that is refused, not a wrong type.
func primaryKey(f *registry.TableFields) rest.Field {
	var list []string
	many := texts(&list)
	many.Want = "a list of strings, or a string such as \"order_id, line\""
	set := many.Set
	many.Set = func(raw []byte) bool {
		if len(raw) > 0 && raw[0] == '"' {
			var text string
			if json.Unmarshal(raw, &text) != nil {
				return false
			}
			var err error
			if list, err = table.ParseKey(text); err != nil {
				f.Violations = append(f.Violations, fault.Violation{
					Code: codeBadTable, Pointer: "/primary_key", Detail: "primary_key " + err.Error(),
				})
			}
		} else if !set(raw) {
			return false
		}
		f.PrimaryKey = &list
		return true
	}
	return many
}

func renderTable(t *table.Table) Table {
	return Table{
		ID: t.ID, Name: t.Name, SourceType: t.Source, Bucket: t.Bucket, SourceTable: t.SourceTable,
		SyncStrategy: string(t.Strategy), QueryMode: string(t.Mode), SyncSchedule: t.Schedule, ProfileAfterSync: t.Profile,
		PrimaryKey: append([]string{}, t.PrimaryKey...), Folder: t.Folder, Description: t.Description, Dataset: t.Dataset(),
		RegisteredBy: t.RegisteredBy, RegisteredAt: t.RegisteredAt.UTC(), UpdatedAt: t.UpdatedAt.UTC(), Revision: t.Revision,
	}
}
