-- Entries that count, in the order in which they came. $1..$3 narrow by channel, stream and reason; $4 an address or $5 a user.
SELECT channel, stream, encode(address_hash, 'hex') AS address_hash, user_id, reason, created_at, expires_at
FROM suppressions
WHERE (expires_at IS NULL OR expires_at > now())
    AND ($1::text IS NULL OR channel = $1)
    AND ($2::text IS NULL OR stream = $2)
    AND ($3::text IS NULL OR reason = $3)
    AND ($4::text IS NULL OR address_hash = address_hash(channel, $4))
    AND ($5::text IS NULL OR user_id = $5)
ORDER BY id;
