-- Suppresses channels for users at any address. What never expires stays so. Returns what was new, and who it is.
WITH suppressed AS (
    INSERT INTO suppressions AS s (channel, stream, user_id, reason, expires_at)
    SELECT channel, stream, user_id, (array_agg(reason ORDER BY n DESC))[1],
        CASE WHEN count(*) = count(expires_at) THEN max(expires_at) END
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::timestamptz[])
        WITH ORDINALITY AS t (channel, stream, user_id, reason, expires_at, n)
    GROUP BY channel, stream, user_id
    ORDER BY user_id
    ON CONFLICT (user_id, channel, stream) WHERE address_hash IS NULL DO UPDATE SET
        reason = excluded.reason,
        expires_at = CASE
            WHEN s.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
            THEN greatest(s.expires_at, excluded.expires_at)
        END
    RETURNING s.user_id, s.xmax = 0 AS is_new
)
SELECT is_new, ARRAY[user_id] AS user_ids FROM suppressed;
