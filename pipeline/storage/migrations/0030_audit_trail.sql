-- What people did to the pipeline by hand. Entries are only ever added: each holds the hash of the one before it, and
-- audit_trail_head what the last one is, so that an entry that was changed or taken away is found (pipeline audit verify).

CREATE TABLE audit_trail (
    seq           bigint PRIMARY KEY CHECK (seq > 0),
    at            timestamptz NOT NULL,
    who           text NOT NULL CHECK (who <> ''),
    action        text NOT NULL CHECK (action <> ''),
    target        text NOT NULL,
    why           text NOT NULL,
    details       json NOT NULL,  -- json, not jsonb: the very text that was hashed
    previous_hash bytea NOT NULL,
    hash          bytea NOT NULL
);

CREATE TABLE audit_trail_head (
    only_one boolean PRIMARY KEY DEFAULT true CHECK (only_one),
    seq      bigint NOT NULL,
    hash     bytea NOT NULL
);

INSERT INTO audit_trail_head (seq, hash) VALUES (0, decode(repeat('00', 32), 'hex'));

CREATE FUNCTION refuse_audit_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit trail is append-only';
END
$$;

CREATE TRIGGER audit_trail_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_trail
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();

CREATE TRIGGER audit_trail_head_stays
    BEFORE DELETE OR TRUNCATE ON audit_trail_head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_audit_change();
