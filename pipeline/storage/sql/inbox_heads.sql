-- For each user in turn the last place that was given out, and how much is unread.
SELECT
    coalesce((SELECT h.last_place FROM inbox_heads AS h WHERE h.user_id = w.user_id), 0) AS head,
    (
        SELECT count(*) FROM inbox AS i
        WHERE i.user_id = w.user_id AND i.read_at IS NULL AND i.archived_at IS NULL
    ) AS unread
FROM unnest($1::text[]) WITH ORDINALITY AS w (user_id, position)
ORDER BY w.position;
