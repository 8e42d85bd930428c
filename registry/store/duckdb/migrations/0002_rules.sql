-- +goose Up
-- DuckDB: Graph Access Rules, staged rules and the graph model. PRIMARY KEY only
-- (docs/adr/0021). That names of rules are unique is decided by the one writer
-- over its snapshot (docs/adr/0100).

CREATE TABLE rule_state (
    id          INTEGER PRIMARY KEY,
    rules       BIGINT  NOT NULL,
    generations BIGINT  NOT NULL
);

INSERT INTO rule_state (id, rules, generations) VALUES (1, 0, 0);

CREATE TABLE rules (
    id         BIGINT      PRIMARY KEY,
    name       TEXT        NOT NULL,
    issuer     TEXT        NOT NULL,
    subject    TEXT        NOT NULL,
    step       TEXT        NOT NULL,
    created_by TEXT        NOT NULL,
    run        TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    body       BLOB        NOT NULL,
    changed    BIGINT      NOT NULL
);

CREATE TABLE rule_deletions (
    first_id BIGINT PRIMARY KEY,
    last_id  BIGINT NOT NULL,
    revision BIGINT NOT NULL
);

CREATE TABLE rule_generations (
    number     BIGINT      PRIMARY KEY,
    issuer     TEXT        NOT NULL,
    subject    TEXT        NOT NULL,
    step       TEXT        NOT NULL,
    generation TEXT        NOT NULL,
    state      TEXT        NOT NULL,
    started_at TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ,
    answer     BLOB
);

-- Without a key: to delete a million rows from one of texts takes DuckDB more than
-- a minute, and the transaction that stages looks for the names anyway.
CREATE TABLE staged_rules (
    generation BIGINT      NOT NULL,
    name       TEXT        NOT NULL,
    created_by TEXT        NOT NULL,
    run        TEXT        NOT NULL,
    staged_at  TIMESTAMPTZ NOT NULL,
    body       BLOB        NOT NULL
);

CREATE TABLE graph_model (
    id      INTEGER PRIMARY KEY,
    model   TEXT    NOT NULL,
    retired TEXT    NOT NULL,
    changed BIGINT  NOT NULL
);
