-- +goose Up
-- PostgreSQL: the same tables as DuckDB's, with the constraints, references and
-- indexes that DuckDB cannot have (docs/adr/0021). What goes along with a group or
-- a user is removed by the transaction, by name, as with DuckDB; the references
-- refuse what forgets to.

ALTER TABLE registry_state ADD COLUMN audit_mac BYTEA;

ALTER TABLE audit_log ADD COLUMN actor_user TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN actor_token TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN key_id TEXT NOT NULL DEFAULT '';
ALTER TABLE audit_log ADD COLUMN mac BYTEA;

CREATE INDEX audit_log_happened ON audit_log (happened);
CREATE INDEX audit_log_action ON audit_log (action COLLATE "C", number);
CREATE INDEX audit_log_resource ON audit_log (resource, number);
CREATE INDEX audit_log_actor ON audit_log (actor_subject, number);

CREATE TABLE audit_heads (
    number    BIGINT      PRIMARY KEY,
    mac       BYTEA       NOT NULL,
    key_id    TEXT        NOT NULL,
    signature BYTEA       NOT NULL,
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
    changed        BIGINT      NOT NULL,
    CONSTRAINT users_subject UNIQUE (issuer, subject),
    CONSTRAINT users_bound CHECK ((issuer IS NULL) = (subject IS NULL)),
    CONSTRAINT users_email CHECK ((email IS NULL) = (email_key IS NULL)),
    CONSTRAINT users_active CHECK (active = (deactivated_at IS NULL))
);

CREATE INDEX users_changed ON users (changed);
CREATE UNIQUE INDEX users_unbound_email ON users (email_key) WHERE subject IS NULL;

CREATE TABLE user_groups (
    id          UUID        PRIMARY KEY,
    name        TEXT        NOT NULL,
    description TEXT        NOT NULL,
    is_system   BOOLEAN     NOT NULL,
    created_at  TIMESTAMPTZ NOT NULL,
    updated_at  TIMESTAMPTZ NOT NULL,
    created_by  TEXT        NOT NULL,
    revision    BIGINT      NOT NULL,
    changed     BIGINT      NOT NULL,
    CONSTRAINT user_groups_name UNIQUE (name)
);

CREATE INDEX user_groups_changed ON user_groups (changed);

CREATE TABLE user_group_members (
    user_id  UUID        NOT NULL REFERENCES users (id),
    group_id UUID        NOT NULL REFERENCES user_groups (id),
    source   TEXT        COLLATE "C" NOT NULL,
    added_at TIMESTAMPTZ NOT NULL,
    added_by TEXT        NOT NULL,
    changed  BIGINT      NOT NULL,
    PRIMARY KEY (user_id, group_id, source)
);

CREATE INDEX user_group_members_group ON user_group_members (group_id);
CREATE INDEX user_group_members_changed ON user_group_members (changed);

CREATE TABLE resource_grants (
    id            UUID        PRIMARY KEY,
    group_id      UUID        NOT NULL REFERENCES user_groups (id),
    resource_type TEXT        NOT NULL,
    resource_id   TEXT        NOT NULL,
    expires_at    TIMESTAMPTZ,
    assigned_at   TIMESTAMPTZ NOT NULL,
    assigned_by   TEXT        NOT NULL,
    changed       BIGINT      NOT NULL,
    CONSTRAINT resource_grants_resource UNIQUE (group_id, resource_type, resource_id)
);

CREATE INDEX resource_grants_changed ON resource_grants (changed);

CREATE TABLE personal_access_tokens (
    id           UUID        PRIMARY KEY,
    user_id      UUID        NOT NULL REFERENCES users (id),
    name         TEXT        NOT NULL,
    token_hash   BYTEA       NOT NULL CHECK (octet_length(token_hash) = 32),
    prefix       TEXT        NOT NULL,
    scopes       TEXT        NOT NULL,
    created_at   TIMESTAMPTZ NOT NULL,
    expires_at   TIMESTAMPTZ,
    revoked_at   TIMESTAMPTZ,
    revoked_by   TEXT        NOT NULL,
    last_used_at TIMESTAMPTZ,
    last_used_ip TEXT        NOT NULL,
    changed      BIGINT      NOT NULL,
    CONSTRAINT personal_access_tokens_hash UNIQUE (token_hash)
);

CREATE INDEX personal_access_tokens_user ON personal_access_tokens (user_id);
CREATE INDEX personal_access_tokens_changed ON personal_access_tokens (changed);
