-- Suppresses an address for whoever has it, and returns who has it now. What never expires stays so.
WITH suppressed AS (
    INSERT INTO suppressions AS s (channel, stream, address_hash, user_id, reason, expires_at)
    VALUES ($1, $2, address_hash($1, $3), $4, $5, $6)
    ON CONFLICT (address_hash, channel, stream) WHERE address_hash IS NOT NULL DO UPDATE SET
        user_id = coalesce(excluded.user_id, s.user_id),
        reason = excluded.reason,
        expires_at = CASE
            WHEN s.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
            THEN greatest(s.expires_at, excluded.expires_at)
        END
    RETURNING s.channel, s.address_hash
)
SELECT u.user_id FROM suppressed AS s JOIN users AS u ON s.channel = 'email' AND u.email_hash = s.address_hash
UNION
SELECT u.user_id FROM suppressed AS s JOIN users AS u ON s.channel = 'sms' AND u.phone_hash = s.address_hash;
