-- People and how they want to be reached. User ids are opaque text.
-- Nothing references `users`: a preference, a device or a consent may be written before the profile is.

CREATE FUNCTION address_hash(channel text, address text) RETURNS bytea
    LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
    RETURN sha256(convert_to(
        CASE channel
            WHEN 'sms' THEN regexp_replace(address, '[^0-9+]', '', 'g')
            ELSE lower(btrim(address))
        END,
        'UTF8'
    ));

CREATE TABLE users (
    user_id    text PRIMARY KEY CHECK (char_length(user_id) BETWEEN 1 AND 255),
    email      text CHECK (email <> ''),
    phone      text CHECK (phone <> ''),
    locale     text CHECK (locale <> ''),
    timezone   text CHECK (timezone <> ''),
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    email_hash bytea GENERATED ALWAYS AS (address_hash('email', email)) STORED,
    phone_hash bytea GENERATED ALWAYS AS (address_hash('sms', phone)) STORED
);

CREATE INDEX users_email_hash ON users (email_hash) WHERE email_hash IS NOT NULL;

CREATE INDEX users_phone_hash ON users (phone_hash) WHERE phone_hash IS NOT NULL;

CREATE TABLE user_notification_preferences (
    user_id     text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
    channel     text NOT NULL CHECK (channel IN ('push', 'email', 'sms', 'in_app', '*', 'all')),
    notif_type  text NOT NULL CHECK (notif_type <> ''),
    enabled     boolean DEFAULT true,
    quiet_start time,
    quiet_end   time,
    timezone    text DEFAULT 'UTC',
    updated_at  timestamptz DEFAULT now(),
    PRIMARY KEY (user_id, channel, notif_type),
    CHECK ((quiet_start IS NULL) = (quiet_end IS NULL))
);

-- Append-only: the newest row of a category counts, the older ones prove what was agreed to and when.
CREATE TABLE user_consents (
    id              bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    user_id         text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
    category        text NOT NULL CHECK (category <> ''),
    granted         boolean NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    source          text NOT NULL DEFAULT '',
    wording_version text NOT NULL DEFAULT ''
);

CREATE INDEX user_consents_newest ON user_consents (user_id, category, at DESC, id DESC);

CREATE TABLE devices (
    user_id       text NOT NULL CHECK (char_length(user_id) BETWEEN 1 AND 255),
    device_id     text NOT NULL CHECK (char_length(device_id) BETWEEN 1 AND 255),
    platform      text NOT NULL CHECK (platform IN ('android', 'ios', 'web')),
    token         text NOT NULL UNIQUE CHECK (octet_length(token) BETWEEN 1 AND 2048),
    registered_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (user_id, device_id)
);

-- With an address: that address, whoever has it. Without: that user, at any address of the channel.
CREATE TABLE suppressions (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    channel      text NOT NULL CHECK (channel IN ('push', 'email', 'sms', 'in_app')),
    stream       text NOT NULL DEFAULT '*' CHECK (stream <> ''),
    address_hash bytea,
    user_id      text CHECK (char_length(user_id) BETWEEN 1 AND 255),
    reason       text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT now(),
    expires_at   timestamptz,
    CHECK (address_hash IS NOT NULL OR user_id IS NOT NULL),
    CHECK (address_hash IS NULL OR channel IN ('email', 'sms'))
);

CREATE UNIQUE INDEX suppressions_of_address ON suppressions (address_hash, channel, stream)
    WHERE address_hash IS NOT NULL;

CREATE UNIQUE INDEX suppressions_of_user ON suppressions (user_id, channel, stream)
    WHERE address_hash IS NULL;
