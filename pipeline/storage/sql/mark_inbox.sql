-- Marks as read, and with $4 archives: the items $2, or where that is null all up to $3 (null: now).
UPDATE inbox SET
    read_at = coalesce(read_at, now()),
    archived_at = CASE WHEN $4::boolean THEN coalesce(archived_at, now()) ELSE archived_at END
WHERE user_id = $1
    AND ($2::uuid[] IS NULL OR notification_id = ANY($2))
    AND ($3::timestamptz IS NULL OR created_at <= $3)
    AND (read_at IS NULL OR ($4 AND archived_at IS NULL))
RETURNING notification_id::text;
