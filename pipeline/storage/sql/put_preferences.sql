INSERT INTO user_notification_preferences
    (user_id, channel, notif_type, enabled, quiet_start, quiet_end, timezone, source)
SELECT given.*, $8
FROM unnest($1::text[], $2::text[], $3::text[], $4::boolean[], $5::time[], $6::time[], $7::text[]) AS given
ON CONFLICT (user_id, channel, notif_type) DO UPDATE SET
    enabled = excluded.enabled,
    quiet_start = excluded.quiet_start,
    quiet_end = excluded.quiet_end,
    timezone = excluded.timezone,
    source = excluded.source,
    updated_at = now();
