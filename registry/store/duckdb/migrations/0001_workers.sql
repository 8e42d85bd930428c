-- +goose Up
-- DuckDB: PRIMARY KEY only. CREATE INDEX does not survive a kill, FOREIGN KEY
-- refuses transactions that are right, and a failed commit that changes a UNIQUE
-- column ends the process (docs/adr/0021). Urls are unique all the same: the one
-- writer looks first.

CREATE TABLE registry_state (
    id        INTEGER PRIMARY KEY,
    revision  BIGINT  NOT NULL,
    forgotten BIGINT  NOT NULL,
    audited   BIGINT  NOT NULL,
    gateway   TEXT    NOT NULL
);

INSERT INTO registry_state (id, revision, forgotten, audited, gateway) VALUES (1, 0, 0, 0, '');

CREATE TABLE canary (
    id   INTEGER PRIMARY KEY,
    sung TIMESTAMPTZ
);

INSERT INTO canary (id) VALUES (1);

CREATE TABLE workers (
    uuid                TEXT        PRIMARY KEY,
    name                TEXT        NOT NULL,
    url                 TEXT        NOT NULL,
    url_key             TEXT        NOT NULL,
    class               TEXT        NOT NULL,
    type                TEXT        NOT NULL,
    version             TEXT        NOT NULL,
    transport           TEXT        NOT NULL,
    active              BOOLEAN     NOT NULL,
    paused_until        TIMESTAMPTZ,
    settings            TEXT        NOT NULL,
    conformance_level   TEXT        NOT NULL,
    conformance_at      TIMESTAMPTZ,
    conformance_version TEXT        NOT NULL,
    quarantine_reason   TEXT,
    quarantined_at      TIMESTAMPTZ,
    registered_by       TEXT        NOT NULL,
    registered_at       TIMESTAMPTZ NOT NULL,
    updated_at          TIMESTAMPTZ NOT NULL,
    revision            BIGINT      NOT NULL,
    changed             BIGINT      NOT NULL
);

CREATE TABLE deletions (
    kind     TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE TABLE audit_log (
    number        BIGINT      PRIMARY KEY,
    id            TEXT        NOT NULL,
    revision      BIGINT      NOT NULL,
    happened      TIMESTAMPTZ NOT NULL,
    actor_subject TEXT        NOT NULL,
    actor_issuer  TEXT        NOT NULL,
    actor_name    TEXT        NOT NULL,
    request_id    TEXT        NOT NULL,
    address       TEXT        NOT NULL,
    action        TEXT        NOT NULL,
    resource      TEXT        NOT NULL,
    before_json   TEXT,
    after_json    TEXT,
    result        TEXT        NOT NULL
);
