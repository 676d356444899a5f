-- Digests: notifications of one user, channel, event type and key that become one.
--
-- state of a digest: open (items join), sealed (what it holds is settled, its records are to be written), sent.
-- verdict of an item: null while it is collected; cancelled, digested, suppressed, expired once that is settled.
-- Sent ones stay for a while, so that an item that is read again after a crash is recognised.

CREATE TABLE digests (
    digest_id    uuid PRIMARY KEY,
    recipient_id text NOT NULL,
    channel      text NOT NULL CHECK (channel IN ('push', 'email', 'sms', 'in_app')),
    event_type   text NOT NULL,
    digest_key   text NOT NULL,
    into_type    text NOT NULL,
    most_items   integer NOT NULL,
    opened_at    timestamptz NOT NULL,
    due_at       timestamptz NOT NULL,
    items        integer NOT NULL,
    joinable     boolean NOT NULL,
    state        text NOT NULL DEFAULT 'open' CHECK (state IN ('open', 'sealed', 'sent')),
    sealed_at    timestamptz
);

CREATE UNIQUE INDEX digests_joinable ON digests (recipient_id, channel, event_type, digest_key) WHERE joinable;

CREATE INDEX digests_due ON digests (due_at) WHERE state = 'open';

CREATE INDEX digests_sealed ON digests (sealed_at) WHERE state = 'sealed';

CREATE INDEX digests_sent ON digests (sealed_at) WHERE state = 'sent';

CREATE TABLE digest_items (
    notification_id uuid PRIMARY KEY,
    digest_id       uuid NOT NULL REFERENCES digests ON DELETE CASCADE,
    recipient_id    text NOT NULL,
    idempotency_key text NOT NULL,
    deferred_at     timestamptz NOT NULL,
    arrival         bigint NOT NULL,
    verdict         text CHECK (verdict IN ('cancelled', 'digested', 'suppressed', 'expired')),
    reason          text,
    rule            text,
    settled_at      timestamptz,
    traceparent     bytea,
    record          bytea NOT NULL
);

CREATE INDEX digest_items_of_digest ON digest_items (digest_id, arrival);

CREATE INDEX digest_items_of_recipient ON digest_items (recipient_id, idempotency_key) WHERE verdict IS NULL;
