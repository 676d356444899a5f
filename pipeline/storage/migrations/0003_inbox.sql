-- What a user's in-app channel shows. The primary key makes a repeated delivery harmless.

CREATE TABLE inbox (
    notification_id uuid PRIMARY KEY,
    user_id         text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
    event_type      text NOT NULL,
    category        text NOT NULL,
    title           text NOT NULL,
    body            text NOT NULL,
    link            text,
    data            jsonb NOT NULL DEFAULT '{}',
    created_at      timestamptz NOT NULL,
    read_at         timestamptz,
    archived_at     timestamptz
);

CREATE INDEX inbox_newest ON inbox (user_id, created_at DESC, notification_id DESC);

CREATE INDEX inbox_unread ON inbox (user_id) WHERE read_at IS NULL AND archived_at IS NULL;
