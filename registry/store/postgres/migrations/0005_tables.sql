-- +goose Up
-- PostgreSQL: the same table as DuckDB's, with the constraint that DuckDB cannot have
-- (docs/adr/0021). Ids are ordered by their bytes on both.

CREATE TABLE table_registry (
    id                 TEXT        COLLATE "C" PRIMARY KEY,
    name               TEXT        NOT NULL,
    name_key           TEXT        COLLATE "C" NOT NULL,
    source_type        TEXT        COLLATE "C" NOT NULL,
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
    revision           BIGINT      NOT NULL,
    CONSTRAINT table_registry_name UNIQUE (source_type, name_key)
);
