SELECT device_id, platform, registered_at, last_seen_at FROM devices WHERE user_id = $1 ORDER BY device_id;
