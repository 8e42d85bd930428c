-- +goose Up
-- PostgreSQL: the same tables as DuckDB's, with the indexes and references that
-- DuckDB cannot have (docs/adr/0021).

CREATE TABLE rule_steps (
    name       TEXT        COLLATE "C" PRIMARY KEY,
    body       TEXT        NOT NULL,
    created_by TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    revision   BIGINT      NOT NULL
);

CREATE TABLE rule_runs (
    id         TEXT        COLLATE "C" PRIMARY KEY,
    step       TEXT        NOT NULL,
    state      TEXT        NOT NULL,
    started_by TEXT        NOT NULL,
    queued_at  TIMESTAMPTZ NOT NULL,
    not_before TIMESTAMPTZ,
    ended_at   TIMESTAMPTZ,
    retries    INTEGER     NOT NULL,
    cancelling BOOLEAN     NOT NULL,
    attempts   TEXT        NOT NULL,
    created    BIGINT      NOT NULL,
    ignored    BIGINT      NOT NULL,
    deleted    BIGINT      NOT NULL,
    lines      BIGINT      NOT NULL
);

CREATE INDEX rule_runs_step ON rule_runs (step, id);
CREATE INDEX rule_runs_open ON rule_runs (id) WHERE state IN ('queued', 'running');

CREATE TABLE rule_run_tokens (
    digest  TEXT    PRIMARY KEY,
    run     TEXT    COLLATE "C" NOT NULL REFERENCES rule_runs (id),
    attempt INTEGER NOT NULL
);

CREATE INDEX rule_run_tokens_run ON rule_run_tokens (run);

CREATE TABLE rule_run_keys (
    issuer          TEXT        NOT NULL,
    subject         TEXT        NOT NULL,
    idempotency_key TEXT        NOT NULL,
    params          TEXT        NOT NULL,
    run             TEXT        NOT NULL,
    used_at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (issuer, subject, idempotency_key)
);

CREATE INDEX rule_run_keys_used ON rule_run_keys (used_at);

CREATE TABLE rule_run_leases (
    run   TEXT   COLLATE "C" PRIMARY KEY REFERENCES rule_runs (id),
    owner TEXT   NOT NULL,
    beat  BIGINT NOT NULL
);

CREATE TABLE rule_run_log (
    run      TEXT        COLLATE "C" NOT NULL REFERENCES rule_runs (id),
    number   BIGINT      NOT NULL,
    happened TIMESTAMPTZ NOT NULL,
    line     TEXT        NOT NULL,
    PRIMARY KEY (run, number)
);
