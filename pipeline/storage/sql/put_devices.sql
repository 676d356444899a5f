INSERT INTO devices (user_id, device_id, platform, token)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[])
ON CONFLICT (user_id, device_id) DO UPDATE SET
    platform = excluded.platform,
    token = excluded.token,
    last_seen_at = now();
