-- What became of notifications. status_events: every record of the delivery-status topic, once. history: where each
-- notification stands, newest first for each user. Both have a partition for each day (UTC) and one for what no day covers.

-- One index serves both the recognition of repeats and the question for one event.
CREATE TABLE status_events (
    occurred_at         timestamptz NOT NULL,
    created_at          timestamptz NOT NULL,
    notification_id     uuid NOT NULL,
    event_id            text NOT NULL,
    idempotency_key     text NOT NULL,
    recipient_id        text NOT NULL,
    event_type          text NOT NULL,
    category            text NOT NULL,
    source              text NOT NULL,
    channel             text NOT NULL,
    priority            text NOT NULL,
    status              text NOT NULL,
    reason              text NOT NULL,
    rule                text NOT NULL,
    policy_version      text NOT NULL,
    provider            text NOT NULL,
    provider_message_id text NOT NULL,
    attempt             integer NOT NULL,
    in_doubt            boolean NOT NULL,
    trace_id            text NOT NULL,
    PRIMARY KEY (event_id, notification_id, occurred_at, status, attempt)
) PARTITION BY RANGE (occurred_at);

COMMENT ON COLUMN status_events.channel IS 'Empty for an event that never got as far as channels.';

CREATE TABLE status_events_other PARTITION OF status_events DEFAULT;

-- created_at is the event's time, the same in all of its records: it says in which partition a notification is.
CREATE TABLE history (
    created_at      timestamptz NOT NULL,
    notification_id uuid NOT NULL,
    recipient_id    text NOT NULL,
    event_id        text NOT NULL,
    event_type      text NOT NULL,
    category        text NOT NULL,
    source          text NOT NULL,
    channel         text NOT NULL,
    priority        text NOT NULL,
    status          text NOT NULL,
    reason          text NOT NULL,
    provider        text NOT NULL,
    attempt         integer NOT NULL,
    in_doubt        boolean NOT NULL,
    stage           smallint NOT NULL,
    changed_at      timestamptz NOT NULL,
    sent_at         timestamptz,
    delivered_at    timestamptz,
    opened_at       timestamptz,
    clicked_at      timestamptz,
    read_at         timestamptz,
    PRIMARY KEY (recipient_id, created_at, notification_id)
) PARTITION BY RANGE (created_at);

COMMENT ON COLUMN history.stage IS 'How far the status is along the way; a later one is never replaced by an earlier one.';

CREATE TABLE history_other PARTITION OF history DEFAULT;

-- Counted as records come in, so that nobody has to count rows. shard is the record's Kafka partition: each belongs to
-- one process, so that processes do not wait for one another's rows.
CREATE TABLE status_counts (
    hour     timestamptz NOT NULL,
    channel  text NOT NULL,
    category text NOT NULL,
    provider text NOT NULL,
    status   text NOT NULL,
    reason   text NOT NULL,
    shard    smallint NOT NULL,
    count    bigint NOT NULL,
    PRIMARY KEY (hour, channel, category, provider, status, reason, shard)
);

-- Records of the delivery-status topic that could not be stored, as they were.
CREATE TABLE store_rejected (
    kafka_partition integer NOT NULL,
    kafka_offset    bigint NOT NULL,
    produced_at     timestamptz NOT NULL,
    reason          text NOT NULL,
    error           text NOT NULL,
    key             bytea,
    value           bytea,
    PRIMARY KEY (kafka_partition, kafka_offset, produced_at)
);

-- How far the archive is with a day: exporting (a file may be half written), verified (the file was read again and holds
-- what the partition holds), dropped (the file alone has it).
CREATE TABLE store_archives (
    dataset     text NOT NULL CHECK (dataset IN ('status_events', 'history')),
    day         date NOT NULL,
    state       text NOT NULL CHECK (state IN ('exporting', 'verified', 'dropped')),
    rows        bigint,
    fingerprint text,
    changed_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (dataset, day)
);

CREATE VIEW store_partitions AS
SELECT p.relname::text AS dataset, c.relname::text AS name, to_date(right(c.relname, 8), 'YYYYMMDD') AS day,
    greatest(c.reltuples, 0)::bigint AS rows_estimated, pg_total_relation_size(c.oid) AS bytes
FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid JOIN pg_class AS p ON p.oid = i.inhparent
WHERE i.inhparent IN ('status_events'::regclass, 'history'::regclass) AND c.relname ~ '_\d{8}$';

-- Makes the partition of one day (UTC), with what no day covered until now. Returns false if it was there.
CREATE FUNCTION store_add_day(dataset text, day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name text := dataset || '_' || to_char(day, 'YYYYMMDD');
    other text := dataset || '_other';
    at text := CASE dataset WHEN 'status_events' THEN 'occurred_at' WHEN 'history' THEN 'created_at' END;
    first timestamptz := day::timestamp AT TIME ZONE 'UTC';
    next timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF at IS NULL THEN
        RAISE EXCEPTION 'no dataset %', dataset;
    END IF;
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', other);
    EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name, dataset);
    EXECUTE format(
        'WITH moved AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *) INSERT INTO %I SELECT * FROM moved',
        other, at, first, at, next, name
    );
    IF dataset = 'history' THEN
        EXECUTE format('ALTER TABLE %I SET (fillfactor = 80)', name);
    END IF;
    EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', dataset, name, first, next);
    RETURN true;
END
$$;

-- What happened in each hour, by when it happened.
CREATE VIEW analytics_outcomes_hourly AS
SELECT hour, channel, category, provider, status, reason, sum(count)::bigint AS count
FROM status_counts GROUP BY hour, channel, category, provider, status, reason;

-- Of what was sent or failed in each hour: the share that was sent. Of what was sent: what receipts came in that hour.
CREATE VIEW analytics_rates_hourly AS
SELECT hour, channel, provider, sent, failed, delivered, bounced, opened, clicked,
    sent::float8 / nullif(sent + failed, 0) AS sent_rate,
    delivered::float8 / nullif(sent, 0) AS delivered_rate,
    opened::float8 / nullif(sent, 0) AS open_rate,
    clicked::float8 / nullif(sent, 0) AS click_rate
FROM (
    SELECT hour, channel, provider,
        coalesce(sum(count) FILTER (WHERE status = 'sent'), 0)::bigint AS sent,
        coalesce(sum(count) FILTER (WHERE status = 'failed'), 0)::bigint AS failed,
        coalesce(sum(count) FILTER (WHERE status = 'delivered'), 0)::bigint AS delivered,
        coalesce(sum(count) FILTER (WHERE status = 'bounced'), 0)::bigint AS bounced,
        coalesce(sum(count) FILTER (WHERE status IN ('opened', 'read')), 0)::bigint AS opened,
        coalesce(sum(count) FILTER (WHERE status = 'clicked'), 0)::bigint AS clicked
    FROM status_counts GROUP BY hour, channel, provider
) AS hourly;

-- Why notifications did not go out, hour by hour.
CREATE VIEW analytics_reasons_hourly AS
SELECT hour, channel, status, reason, sum(count)::bigint AS count
FROM status_counts WHERE status IN ('suppressed', 'expired', 'failed', 'cancelled', 'deferred', 'dead_lettered', 'retrying')
GROUP BY hour, channel, status, reason;
