-- Suppresses the address that user $1[i] has on channel $2[i]; without one, the user's channel.
INSERT INTO suppressions (channel, stream, address_hash, user_id, reason, expires_at)
SELECT given.channel, given.stream, address_hash(given.channel, given.address), given.user_id, given.reason, given.expires_at
FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[], $6::timestamptz[])
    AS given (user_id, channel, address, stream, reason, expires_at)
ON CONFLICT DO NOTHING;
