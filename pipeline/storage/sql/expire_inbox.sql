-- Category $1 (every one but $2, where it is *) before $3; at most $4 rows.
DELETE FROM inbox WHERE notification_id IN (
    SELECT notification_id FROM inbox
    WHERE created_at < $3 AND CASE WHEN $1 = '*' THEN category <> ALL($2::text[]) ELSE category = $1 END
    LIMIT $4
);
