-- For each user $1 what came after place $2, in order, at most $3 of each; archived entries are out of sight.
SELECT
    w.position, i.place, i.notification_id::text, i.event_type, i.title, i.body, i.link, i.data::text,
    (extract(EPOCH FROM i.created_at) * 1000)::bigint AS created_at, i.read_at IS NOT NULL AS read
FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w (user_id, after, position)
CROSS JOIN LATERAL (
    SELECT * FROM inbox
    WHERE inbox.user_id = w.user_id AND inbox.place > w.after AND inbox.archived_at IS NULL
    ORDER BY inbox.place
    LIMIT $3
) AS i
ORDER BY w.position, i.place;
