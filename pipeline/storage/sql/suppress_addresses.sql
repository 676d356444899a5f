-- Suppresses addresses, or what has a hash already. What never expires stays so. Returns what was new, and who has them now.
WITH given AS (
    SELECT n, channel, stream, coalesce(decode(hash, 'hex'), address_hash(channel, address)) AS address_hash, user_id, reason,
        expires_at
    FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::timestamptz[])
        WITH ORDINALITY AS t (channel, stream, address, hash, user_id, reason, expires_at, n)
),
suppressed AS (
    INSERT INTO suppressions AS s (channel, stream, address_hash, user_id, reason, expires_at)
    SELECT channel, stream, address_hash, max(user_id), (array_agg(reason ORDER BY n DESC))[1],
        CASE WHEN count(*) = count(expires_at) THEN max(expires_at) END
    FROM given
    GROUP BY channel, stream, address_hash
    ORDER BY address_hash
    ON CONFLICT (address_hash, channel, stream) WHERE address_hash IS NOT NULL DO UPDATE SET
        user_id = coalesce(excluded.user_id, s.user_id),
        reason = excluded.reason,
        expires_at = CASE
            WHEN s.expires_at IS NOT NULL AND excluded.expires_at IS NOT NULL
            THEN greatest(s.expires_at, excluded.expires_at)
        END
    RETURNING s.channel, s.address_hash, s.xmax = 0 AS is_new
)
SELECT s.is_new, ARRAY(
    SELECT u.user_id FROM users AS u WHERE s.channel = 'email' AND u.email_hash = s.address_hash
    UNION ALL
    SELECT u.user_id FROM users AS u WHERE s.channel = 'sms' AND u.phone_hash = s.address_hash
) AS user_ids
FROM suppressed AS s;
