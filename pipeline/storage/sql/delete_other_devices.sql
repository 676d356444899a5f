DELETE FROM devices WHERE user_id = $1 AND NOT device_id = ANY($2::text[]);
