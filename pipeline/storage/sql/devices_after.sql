-- The next $3 devices of all users, behind device $2 of user $1.
SELECT user_id, device_id, platform, token, environment, app, registered_at, last_seen_at
FROM devices WHERE (user_id, device_id) > ($1, $2) ORDER BY user_id, device_id LIMIT $3;
