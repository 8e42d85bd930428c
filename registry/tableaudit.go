package registry

import (
	"context"
	"time"

	"github.com/muster-fleet/muster/registry/table"
)

// tableJSON is a table as the audit log shows it, in the words of the API.
type tableJSON struct {
	ID           string         `json:"id"`
	Name         string         `json:"name"`
	Source       string         `json:"source_type"`
	Bucket       string         `json:"bucket,omitempty"`
	SourceTable  string         `json:"source_table,omitempty"`
	Strategy     table.Strategy `json:"sync_strategy"`
	Mode         table.Mode     `json:"query_mode"`
	Schedule     string         `json:"sync_schedule,omitempty"`
	Profile      bool           `json:"profile_after_sync"`
	PrimaryKey   []string       `json:"primary_key,omitempty"`
	Folder       string         `json:"folder,omitempty"`
	Description  string         `json:"description,omitempty"`
	RegisteredBy string         `json:"registered_by"`
	RegisteredAt time.Time      `json:"registered_at"`
	UpdatedAt    time.Time      `json:"updated_at"`
	Revision     int64          `json:"revision"`
}

func tableResource(id string) string { return "table:" + id }

func tableForAudit(t *table.Table) *tableJSON {
	return &tableJSON{
		ID: t.ID, Name: t.Name, Source: t.Source, Bucket: t.Bucket, SourceTable: t.SourceTable, Strategy: t.Strategy,
		Mode: t.Mode, Schedule: t.Schedule, Profile: t.Profile, PrimaryKey: t.PrimaryKey, Folder: t.Folder,
		Description: t.Description, RegisteredBy: t.RegisteredBy, RegisteredAt: t.RegisteredAt,
		UpdatedAt: t.UpdatedAt, Revision: t.Revision,
	}
}

// auditTable writes the row for a change from before to after, of which one may be
// nil.
func auditTable(ctx context.Context, tx Tx, a Actor, action string, now time.Time, before, after *table.Table) error {
	subject := after
	if subject == nil {
		subject = before
	}
	return auditChange(ctx, tx, a, action, tableResource(subject.ID), now, before, after, func(t *table.Table) (any, bool) {
		if t == nil {
			return nil, false
		}
		return tableForAudit(t), true
	})
}
