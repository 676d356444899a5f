-- One page, the newest first, from what comes after ($2, $3) on. $4: unread ones only; $5: archived ones, or all others;
-- $6, $7: of that category, of that event type.
SELECT
    notification_id::text, event_type, category, title, body, link, data::text, created_at, read_at, archived_at
FROM inbox
WHERE user_id = $1
    AND (created_at, notification_id) < (
        coalesce($2::timestamptz, 'infinity'), coalesce($3::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff')
    )
    AND (NOT $4::boolean OR read_at IS NULL)
    AND (archived_at IS NOT NULL) = $5::boolean
    AND ($6::text IS NULL OR category = $6)
    AND ($7::text IS NULL OR event_type = $7)
ORDER BY created_at DESC, notification_id DESC
LIMIT $8;
