SELECT device_id, platform, token, environment, app, registered_at, last_seen_at
FROM devices WHERE user_id = $1 ORDER BY last_seen_at DESC, device_id;
