-- +goose Up
-- DuckDB: PRIMARY KEY only (docs/adr/0021). What belongs to a run is found by
-- reading the table, which holds a few hundred rows for each step.

CREATE TABLE rule_steps (
    name       TEXT        PRIMARY KEY,
    body       TEXT        NOT NULL,
    created_by TEXT        NOT NULL,
    created_at TIMESTAMPTZ NOT NULL,
    updated_at TIMESTAMPTZ NOT NULL,
    revision   BIGINT      NOT NULL
);

CREATE TABLE rule_runs (
    id         TEXT        PRIMARY KEY,
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

CREATE TABLE rule_run_tokens (
    digest  TEXT    PRIMARY KEY,
    run     TEXT    NOT NULL,
    attempt INTEGER NOT NULL
);

CREATE TABLE rule_run_keys (
    issuer          TEXT        NOT NULL,
    subject         TEXT        NOT NULL,
    idempotency_key TEXT        NOT NULL,
    params          TEXT        NOT NULL,
    run             TEXT        NOT NULL,
    used_at         TIMESTAMPTZ NOT NULL,
    PRIMARY KEY (issuer, subject, idempotency_key)
);

CREATE TABLE rule_run_leases (
    run   TEXT   PRIMARY KEY,
    owner TEXT   NOT NULL,
    beat  BIGINT NOT NULL
);

CREATE TABLE rule_run_log (
    run      TEXT        NOT NULL,
    number   BIGINT      NOT NULL,
    happened TIMESTAMPTZ NOT NULL,
    line     TEXT        NOT NULL,
    PRIMARY KEY (run, number)
);
