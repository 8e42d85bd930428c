-- +goose Up
-- PostgreSQL: the same tables as DuckDB's, with the constraints, references and
-- indexes that DuckDB cannot have (docs/adr/0021, 0100). Names of staged rules
-- are read in the order of their bytes.

CREATE TABLE rule_state (
    id          INTEGER PRIMARY KEY CHECK (id = 1),
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
    body       BYTEA       NOT NULL,
    changed    BIGINT      NOT NULL,
    CONSTRAINT rules_name UNIQUE (name)
);

CREATE INDEX rules_changed ON rules (changed);

CREATE TABLE rule_deletions (
    first_id BIGINT PRIMARY KEY,
    last_id  BIGINT NOT NULL CHECK (last_id >= first_id),
    revision BIGINT NOT NULL
);

CREATE INDEX rule_deletions_revision ON rule_deletions (revision);

CREATE TABLE rule_generations (
    number     BIGINT      PRIMARY KEY,
    issuer     TEXT        NOT NULL,
    subject    TEXT        NOT NULL,
    step       TEXT        NOT NULL,
    generation TEXT        NOT NULL,
    state      TEXT        NOT NULL CHECK (state IN ('open', 'committed', 'superseded')),
    started_at TIMESTAMPTZ NOT NULL,
    ended_at   TIMESTAMPTZ,
    answer     BYTEA,
    CONSTRAINT rule_generations_id UNIQUE (issuer, subject, step, generation)
);

CREATE TABLE staged_rules (
    generation BIGINT      NOT NULL REFERENCES rule_generations (number),
    name       TEXT        COLLATE "C" NOT NULL,
    created_by TEXT        NOT NULL,
    run        TEXT        NOT NULL,
    staged_at  TIMESTAMPTZ NOT NULL,
    body       BYTEA       NOT NULL,
    PRIMARY KEY (generation, name)
);

CREATE TABLE graph_model (
    id      INTEGER PRIMARY KEY CHECK (id = 1),
    model   TEXT    NOT NULL,
    retired TEXT    NOT NULL,
    changed BIGINT  NOT NULL
);
