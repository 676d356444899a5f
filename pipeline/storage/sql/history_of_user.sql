SELECT * FROM history
WHERE recipient_id = $1 AND created_at >= $2 AND created_at < $3
    AND (created_at, notification_id) < ($4, $5) AND ($6::text IS NULL OR channel = $6)
ORDER BY created_at DESC, notification_id DESC LIMIT $7;
