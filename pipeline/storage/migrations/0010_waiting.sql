-- What waits for a time. A row is one round of one notification: it waits, then it is over and stays for a while, so that
-- the same record, read again after a crash, is recognised. Whole days are dropped; nothing is deleted row by row.
--
-- state: waiting; recheck (its user's quiet hours changed: decide it now); cancelled, replaced (its status is still to be
-- written); released, ended (over: the record is gone).

CREATE TABLE waiting (
    notification_id uuid NOT NULL,
    deferred_at     timestamptz NOT NULL,
    due_at          timestamptz NOT NULL,
    recipient_id    text NOT NULL,
    idempotency_key text NOT NULL,
    channel         text NOT NULL CHECK (channel IN ('push', 'email', 'sms', 'in_app')),
    urgency         smallint NOT NULL,
    reason          text NOT NULL,
    collapse_key    text,
    created_at      timestamptz NOT NULL,
    arrival         bigint NOT NULL,
    traceparent     bytea,
    state           text NOT NULL DEFAULT 'waiting'
        CHECK (state IN ('waiting', 'recheck', 'cancelled', 'replaced', 'released', 'ended')),
    stopped_at      timestamptz,
    record          bytea,
    PRIMARY KEY (notification_id, deferred_at, due_at)
) PARTITION BY RANGE (due_at);

CREATE INDEX waiting_due ON waiting (channel, urgency, due_at, notification_id) WHERE state = 'waiting';

CREATE INDEX waiting_stopped ON waiting (state) WHERE state IN ('recheck', 'cancelled', 'replaced');

CREATE INDEX waiting_of_recipient ON waiting (recipient_id, idempotency_key) WHERE state IN ('waiting', 'recheck');

CREATE INDEX waiting_to_collapse ON waiting (recipient_id, channel, collapse_key)
    WHERE state IN ('waiting', 'recheck') AND collapse_key IS NOT NULL;

-- What no day covers: due later than the days that are made ahead, or so long overdue that its day is gone.
CREATE TABLE waiting_other PARTITION OF waiting DEFAULT;

-- Makes the partition of one day (UTC), with what waited for that day elsewhere. Returns false if it was there.
CREATE FUNCTION waiting_add_day(day date) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    name text := 'waiting_' || to_char(day, 'YYYYMMDD');
    first timestamptz := day::timestamp AT TIME ZONE 'UTC';
    next timestamptz := (day + 1)::timestamp AT TIME ZONE 'UTC';
BEGIN
    IF to_regclass(name) IS NOT NULL THEN
        RETURN false;
    END IF;
    LOCK TABLE waiting_other IN ACCESS EXCLUSIVE MODE;
    EXECUTE format('CREATE TABLE %I (LIKE waiting INCLUDING DEFAULTS INCLUDING CONSTRAINTS)', name);
    EXECUTE format(
        'WITH moved AS (DELETE FROM waiting_other WHERE due_at >= %L AND due_at < %L RETURNING *) '
        'INSERT INTO %I SELECT * FROM moved', first, next, name
    );
    EXECUTE format('ALTER TABLE waiting ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', name, first, next);
    EXECUTE format('ALTER TABLE %I SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000)', name);
    RETURN true;
END
$$;

-- Drops the days that ended before `before` and in which nothing waits any more. Returns their names.
CREATE FUNCTION waiting_drop_days(before timestamptz) RETURNS SETOF text LANGUAGE plpgsql AS $$
DECLARE
    name text;
    is_open boolean;
BEGIN
    FOR name IN
        SELECT c.relname FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
        WHERE i.inhparent = 'waiting'::regclass AND c.relname ~ '^waiting_\d{8}$'
            AND (to_date(right(c.relname, 8), 'YYYYMMDD') + 1)::timestamp AT TIME ZONE 'UTC' <= before
        ORDER BY c.relname
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE state NOT IN (''released'', ''ended''))', name) INTO is_open;
        CONTINUE WHEN is_open;
        EXECUTE format('LOCK TABLE waiting, %I IN ACCESS EXCLUSIVE MODE', name);
        EXECUTE format('SELECT EXISTS (SELECT FROM %I WHERE state NOT IN (''released'', ''ended''))', name) INTO is_open;
        CONTINUE WHEN is_open;
        EXECUTE format('DROP TABLE %I', name);
        RETURN NEXT name;
    END LOOP;
END
$$;

-- Until when each channel's pace is used up. One row each, so that all schedulers share it.
CREATE TABLE release_pace (
    channel    text PRIMARY KEY,
    used_until timestamptz NOT NULL
);
