-- +goose Up
-- PostgreSQL: the same tables as DuckDB's, with the indexes and references that
-- DuckDB cannot have (docs/adr/0021).

CREATE TABLE registry_state (
    id        INTEGER PRIMARY KEY CHECK (id = 1),
    revision  BIGINT  NOT NULL,
    forgotten BIGINT  NOT NULL,
    audited   BIGINT  NOT NULL,
    gateway   TEXT    NOT NULL
);

INSERT INTO registry_state (id, revision, forgotten, audited, gateway) VALUES (1, 0, 0, 0, '');

CREATE TABLE canary (
    id   INTEGER PRIMARY KEY CHECK (id = 1),
    sung TIMESTAMPTZ
);

INSERT INTO canary (id) VALUES (1);

CREATE TABLE workers (
    uuid                TEXT        NOT NULL,
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
    changed             BIGINT      NOT NULL,
    CONSTRAINT workers_uuid PRIMARY KEY (uuid),
    CONSTRAINT workers_url UNIQUE (url_key),
    CONSTRAINT workers_quarantine CHECK ((quarantine_reason IS NULL) = (quarantined_at IS NULL))
);

CREATE INDEX workers_changed ON workers (changed);

CREATE TABLE deletions (
    kind     TEXT   NOT NULL,
    id       TEXT   NOT NULL,
    revision BIGINT NOT NULL,
    PRIMARY KEY (kind, id)
);

CREATE INDEX deletions_revision ON deletions (revision);

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
