-- Suppresses a channel for a user at any address. What never expires stays so.
INSERT INTO suppressions AS s (channel, stream, user_id, reason, expires_at)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (user_id, channel, stream) WHERE address_hash IS NULL DO UPDATE SET
    reason = excluded.reason,
    expires_at = CASE
        WHEN s.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
        THEN greatest(s.expires_at, excluded.expires_at)
    END
RETURNING s.user_id;
