-- One row for each id of $1: `pipeline.users.snapshot.UserSnapshot` as a JSON array, its fields in order.
SELECT
    ids.user_id,
    CASE WHEN u.user_id IS NULL
        THEN json_build_array(ids.user_id, coalesce(v.version, 0), false)
        ELSE json_build_array(
            ids.user_id,
            coalesce(v.version, 0),
            true,
            u.email,
            u.phone,
            u.locale,
            u.timezone,
            coalesce(d.devices, '[]'),
            coalesce(p.preferences, '[]'),
            coalesce(c.consents, '[]'),
            coalesce(s.suppressions, '[]')
        )
    END::text AS snapshot
FROM unnest($1::text[]) AS ids (user_id)
LEFT JOIN users AS u ON u.user_id = ids.user_id
LEFT JOIN user_versions AS v ON v.user_id = ids.user_id
LEFT JOIN LATERAL (
    SELECT json_agg(json_build_array(device_id, platform, token, environment, app) ORDER BY device_id) AS devices
    FROM devices
    WHERE devices.user_id = u.user_id
) AS d ON true
LEFT JOIN LATERAL (
    SELECT json_agg(
        json_build_array(
            channel,
            notif_type,
            enabled,
            extract(EPOCH FROM quiet_start)::integer,
            extract(EPOCH FROM quiet_end)::integer,
            timezone
        )
        ORDER BY channel, notif_type
    ) AS preferences
    FROM user_notification_preferences
    WHERE user_notification_preferences.user_id = u.user_id
) AS p ON true
LEFT JOIN LATERAL (
    SELECT json_agg(category ORDER BY category) FILTER (WHERE granted) AS consents
    FROM (
        SELECT DISTINCT ON (category) category, granted
        FROM user_consents
        WHERE user_consents.user_id = u.user_id
        ORDER BY category, at DESC, id DESC
    ) AS newest
) AS c ON true
LEFT JOIN LATERAL (
    SELECT json_agg(
        json_build_array(channel, stream, reason, (extract(EPOCH FROM expires_at) * 1000)::bigint)
        ORDER BY channel, stream, expires_at
    ) AS suppressions
    FROM (
        SELECT channel, stream, reason, expires_at FROM suppressions
        WHERE address_hash = u.email_hash AND channel = 'email'
        UNION ALL
        SELECT channel, stream, reason, expires_at FROM suppressions
        WHERE address_hash = u.phone_hash AND channel = 'sms'
        UNION ALL
        SELECT channel, stream, reason, expires_at FROM suppressions
        WHERE suppressions.user_id = u.user_id AND address_hash IS NULL
    ) AS matching
    WHERE expires_at IS NULL OR expires_at > now()
) AS s ON true;
