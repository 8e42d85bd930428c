-- +goose Up
-- DuckDB: PRIMARY KEY only, of keys that never change (docs/adr/0021). Names of
-- groups, users, grants and digests of tokens are unique all the same, and every
-- member has its group and user: the one writer looks first. Tables with a key are
-- widened by create, copy, drop and rename.

CREATE TABLE registry_state_wide (
    id        INTEGER PRIMARY KEY,
    revision  BIGINT  NOT NULL,
    forgotten BIGINT  NOT NULL,
    audited   BIGINT  NOT NULL,
    gateway   TEXT    NOT NULL,
    audit_mac BLOB
);

INSERT INTO registry_state_wide SELECT id, revision, forgotten, audited, gateway, NULL FROM registry_state;

DROP TABLE registry_state;

ALTER TABLE registry_state_wide RENAME TO registry_state;

CREATE TABLE audit_log_wide (
    number        BIGINT      PRIMARY KEY,
    id            TEXT        NOT NULL,
    revision      BIGINT      NOT NULL,
    happened      TIMESTAMPTZ NOT NULL,
    actor_subject TEXT        NOT NULL,
    actor_issuer  TEXT        NOT NULL,
    actor_name    TEXT        NOT NULL,
    actor_user    TEXT        NOT NULL,
    actor_token   TEXT        NOT NULL,
    request_id    TEXT        NOT NULL,
    address       TEXT        NOT NULL,
    action        TEXT        NOT NULL,
    resource      TEXT        NOT NULL,
    before_json   TEXT,
    after_json    TEXT,
    result        TEXT        NOT NULL,
    key_id        TEXT        NOT NULL,
    mac           BLOB
);

INSERT INTO audit_log_wide SELECT number, id, revision, happened, actor_subject, actor_issuer, actor_name, '', '',
    request_id, address, action, resource, before_json, after_json, result, '', NULL FROM audit_log;

DROP TABLE audit_log;

ALTER TABLE audit_log_wide RENAME TO audit_log;

CREATE TABLE audit_heads (
    number    BIGINT      PRIMARY KEY,
    mac       BLOB        NOT NULL,
    key_id    TEXT        NOT NULL,
    signature BLOB        NOT NULL,
    signed_at TIMESTAMPTZ NOT NULL
);

CREATE TABLE users (
    id             UUID        PRIMARY KEY,
    issuer         TEXT,
    subject        TEXT,
    email          TEXT,
    email_key      TEXT,
    username       TEXT        NOT NULL,
    name           TEXT        NOT NULL,
    active         BOOLEAN     NOT NULL,
    deactivated_at TIMESTAMPTZ,
    deactivated_by TEXT        NOT NULL,
    synced_at      TIMESTAMPTZ,
    confirmed_at   TIMESTAMPTZ,
    created_at     TIMESTAMPTZ NOT NULL,
    updated_at     TIMESTAMPTZ NOT NULL,
    revision       BIGINT      NOT NULL,
    changed        BIGINT      NOT NULL
);

CREATE TABLE user_groups (
    id          UUID        PRIMARY KEY,
    name        TEXT        NOT NULL,
    description TEXT        NOT NULL,
    is_system   BOOLEAN     NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,
    created_by  TEXT        NOT NULL,
    revision    BIGINT      NOT NULL,
    changed     BIGINT      NOT NULL
);

CREATE TABLE user_group_members (
    user_id  UUID        NOT NULL,
    group_id UUID        NOT NULL,
    source   TEXT        NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    added_by TEXT        NOT NULL,
    changed  BIGINT      NOT NULL,
    PRIMARY KEY (user_id, group_id, source)
);

CREATE TABLE resource_grants (
    id            UUID        PRIMARY KEY,
    group_id      UUID        NOT NULL,
    resource_type TEXT        NOT NULL,
    resource_id   TEXT        NOT NULL,
    expires_at    TIMESTAMPTZ,
    assigned_at   TIMESTAMPTZ NOT NULL,
    assigned_by   TEXT        NOT NULL,
    changed       BIGINT      NOT NULL
);

-- Scopes are a JSON array, since an update of a row with a LIST is a delete and an
-- insert of its key.
CREATE TABLE personal_access_tokens (
    id           UUID        PRIMARY KEY,
    user_id      UUID        NOT NULL,
    name         TEXT        NOT NULL,
    token_hash   BLOB        NOT NULL,
    prefix       TEXT        NOT NULL,
    scopes       TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ,
    revoked_by   TEXT        NOT NULL,
    last_used_at TIMESTAMPTZ,
    last_used_ip TEXT        NOT NULL,
    changed      BIGINT      NOT NULL
);
