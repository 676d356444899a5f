-- API keys of the gateway. Of a key's secret only its SHA-256 is kept; `key_id` is the part of the key that is shown.

CREATE TABLE api_keys (
    key_id         text PRIMARY KEY CHECK (key_id ~ '^[0-9a-z]{12}$'),
    name           text NOT NULL CHECK (char_length(name) BETWEEN 1 AND 100),
    scopes         text[] NOT NULL
        CHECK (cardinality(scopes) > 0 AND scopes <@ ARRAY['ingest', 'read', 'preferences', 'admin']),
    secret_hash    bytea NOT NULL CHECK (octet_length(secret_hash) = 32),
    previous_hash  bytea CHECK (octet_length(previous_hash) = 32),
    previous_until timestamptz,
    rate           double precision NOT NULL CHECK (rate > 0),
    burst          integer NOT NULL CHECK (burst > 0),
    daily_quota    bigint CHECK (daily_quota > 0),
    created_at     timestamptz NOT NULL DEFAULT now(),
    rotated_at     timestamptz,
    expires_at     timestamptz,
    revoked_at     timestamptz,
    CHECK ((previous_hash IS NULL) = (previous_until IS NULL))
);
