-- +goose Up
-- DuckDB: PRIMARY KEY only (docs/adr/0021). Names are unique within their source all
-- the same, without regard to case: the one writer looks. The primary key of a table
-- is a JSON array, since an update of a row with a LIST is a delete and an insert of
-- its key.

CREATE TABLE table_registry (
    id                 TEXT        PRIMARY KEY,
    name               TEXT        NOT NULL,
    name_key           TEXT        NOT NULL,
    source_type        TEXT        NOT NULL,
    bucket             TEXT        NOT NULL,
    source_table       TEXT        NOT NULL,
    sync_strategy      TEXT        NOT NULL,
    query_mode         TEXT        NOT NULL,
    sync_schedule      TEXT        NOT NULL,
    profile_after_sync BOOLEAN     NOT NULL,
    primary_key        TEXT        NOT NULL,
    folder             TEXT        NOT NULL,
    description        TEXT        NOT NULL,
    registered_by      TEXT        NOT NULL,
    registered_at      TIMESTAMPTZ NOT NULL,
    updated_at         TIMESTAMPTZ NOT NULL,
    revision           BIGINT      NOT NULL
);
