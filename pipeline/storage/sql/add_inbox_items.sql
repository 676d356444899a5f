-- Adds what is not there yet and returns the place of each that is there now, but for those that somebody else was adding
-- at the same moment: they are read by places_in_inbox. Heads are locked in the order of their users, lest two batches
-- wait for each other.
WITH given AS (
    SELECT DISTINCT ON (notification_id) *
    FROM unnest(
        $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[], $9::timestamptz[]
    ) WITH ORDINALITY AS g (
        notification_id, user_id, event_type, category, title, body, link, data, created_at, position
    )
    ORDER BY notification_id, position
),
known AS (
    SELECT notification_id, place FROM inbox WHERE notification_id = ANY($1::uuid[])
),
fresh AS (
    SELECT g.*, row_number() OVER (PARTITION BY user_id ORDER BY position DESC) - 1 AS before_last
    FROM given AS g
    WHERE NOT EXISTS (SELECT FROM known AS k WHERE k.notification_id = g.notification_id)
),
heads AS (
    INSERT INTO inbox_heads AS h (user_id, last_place)
    SELECT user_id, count(*) FROM fresh GROUP BY user_id ORDER BY user_id
    ON CONFLICT (user_id) DO UPDATE SET last_place = h.last_place + excluded.last_place
    RETURNING user_id, last_place
),
added AS (
    INSERT INTO inbox (
        notification_id, user_id, event_type, category, title, body, link, data, created_at, place
    )
    SELECT
        f.notification_id, f.user_id, f.event_type, f.category, f.title, f.body, f.link, f.data, f.created_at,
        heads.last_place - f.before_last
    FROM fresh AS f JOIN heads USING (user_id)
    ORDER BY f.user_id, f.position
    ON CONFLICT (notification_id) DO NOTHING
    RETURNING notification_id, place
)
SELECT notification_id::text, place FROM added
UNION ALL
SELECT notification_id::text, place FROM known;
