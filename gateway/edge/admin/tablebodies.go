package admin

import (
	"time"
)

// TableInput is the body of POST /api/admin/register-table.
type TableInput struct {
	Name string `json:"name" maxLength:"64" doc:"What it is published and read as: letters, digits and _, not beginning with a digit. The id is made of it."`
	TableMembers
}

// TableChange is the body of PUT /api/admin/registry/{id}; what is left out stays.
type TableChange struct {
	Name *string `json:"name,omitempty" maxLength:"64" doc:"The id stays what it is."`
	TableMembers
}

// TableMembers are the members that both have. Each may be null, which sets its
// default.
type TableMembers struct {
	SourceType       *string `json:"source_type,omitempty" nullable:"true" doc:"bigquery, files, jira, keboola, local or postgres, or the name of a custom source. local by default."`
	Bucket           *string `json:"bucket,omitempty" nullable:"true" maxLength:"128" doc:"Bucket, dataset or schema at the source."`
	SourceTable      *string `json:"source_table,omitempty" nullable:"true" maxLength:"128" doc:"Its name at the source."`
	SyncStrategy     *string `json:"sync_strategy,omitempty" nullable:"true" enum:"full_refresh,incremental,partitioned" doc:"full_refresh by default."`
	QueryMode        *string `json:"query_mode,omitempty" nullable:"true" enum:"local,remote,materialized" doc:"local by default."`
	SyncSchedule     *string `json:"sync_schedule,omitempty" nullable:"true" maxLength:"300" doc:"\"every 15m\", \"daily 06:00,18:30\" or five fields of cron, in UTC; none by default."`
	ProfileAfterSync *bool   `json:"profile_after_sync,omitempty" nullable:"true" doc:"true by default."`
	PrimaryKey       any     `json:"primary_key,omitempty" doc:"A list of columns, or one text with commas between them; none by default."`
	Folder           *string `json:"folder,omitempty" nullable:"true" maxLength:"255"`
	Description      *string `json:"description,omitempty" nullable:"true" maxLength:"4096"`
}

// Table is a registered table as the API shows it.
type Table struct {
	ID               string    `json:"id"`
	Name             string    `json:"name"`
	SourceType       string    `json:"source_type"`
	Bucket           string    `json:"bucket"`
	SourceTable      string    `json:"source_table"`
	SyncStrategy     string    `json:"sync_strategy" enum:"full_refresh,incremental,partitioned"`
	QueryMode        string    `json:"query_mode" enum:"local,remote,materialized"`
	SyncSchedule     string    `json:"sync_schedule" doc:"Empty for none."`
	ProfileAfterSync bool      `json:"profile_after_sync"`
	PrimaryKey       []string  `json:"primary_key" nullable:"false"`
	Folder           string    `json:"folder"`
	Description      string    `json:"description"`
	Dataset          string    `json:"dataset" doc:"The resource_id of grants of the type dataset that open it."`
	RegisteredBy     string    `json:"registered_by"`
	RegisteredAt     time.Time `json:"registered_at"`
	UpdatedAt        time.Time `json:"updated_at"`
	Revision         int64     `json:"revision" doc:"The ETag of the record."`
}

// TablePage is one page of tables.
type TablePage struct {
	Tables     []Table `json:"tables" nullable:"false" doc:"Ordered by id."`
	Count      int     `json:"count" doc:"Of all pages together."`
	NextCursor string  `json:"nextCursor" doc:"Of the next page; empty on the last one."`
}

// RegisteredTable is the answer to who registers a table.
type RegisteredTable struct {
	ID     string `json:"id" doc:"The name in lower case, with _ for spaces."`
	Name   string `json:"name"`
	Status string `json:"status" enum:"registered"`
}

// UpdatedTable is the answer to who changes a table.
type UpdatedTable struct {
	ID      string   `json:"id"`
	Updated []string `json:"updated" nullable:"false" doc:"The members that are otherwise than before; none when all was as wished already."`
}
