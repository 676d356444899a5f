-- Only while it still has the token that was refused: an app may have registered a fresh one since.
DELETE FROM devices WHERE user_id = $1 AND device_id = $2 AND ($3::text IS NULL OR token = $3) RETURNING user_id;
