-- Only while it still has the token that was refused: an app may have registered a fresh one since, or, after the
-- provider found this one dead ($4), the same one anew.
DELETE FROM devices
WHERE user_id = $1 AND device_id = $2
    AND ($3::text IS NULL OR token = $3)
    AND ($4::timestamptz IS NULL OR last_seen_at <= $4)
RETURNING user_id;
