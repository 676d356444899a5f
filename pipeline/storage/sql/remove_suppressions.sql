-- Takes entries of channel $1 off the list, on stream $2 (null: on all), there for reason $6 (null: any): of address $3, of
-- the hash $4 or of user $5 alone.
WITH gone AS (
    DELETE FROM suppressions
    WHERE channel = $1
        AND ($2::text IS NULL OR stream = $2)
        AND ($6::text IS NULL OR reason = $6)
        AND (
            address_hash = coalesce(address_hash($1, $3), decode($4, 'hex'))
            OR (address_hash IS NULL AND user_id = $5)
        )
    RETURNING channel, address_hash, user_id
)
SELECT CASE WHEN g.address_hash IS NULL THEN ARRAY[g.user_id] ELSE ARRAY(
    SELECT u.user_id FROM users AS u WHERE g.channel = 'email' AND u.email_hash = g.address_hash
    UNION ALL
    SELECT u.user_id FROM users AS u WHERE g.channel = 'sms' AND u.phone_hash = g.address_hash
) END AS user_ids
FROM gone AS g;
