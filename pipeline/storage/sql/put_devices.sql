INSERT INTO devices (user_id, device_id, platform, token, environment, app)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
ON CONFLICT (user_id, device_id) DO UPDATE SET
    platform = excluded.platform,
    token = excluded.token,
    environment = excluded.environment,
    app = excluded.app,
    registered_at = CASE WHEN devices.token = excluded.token THEN devices.registered_at ELSE now() END,
    last_seen_at = now();
