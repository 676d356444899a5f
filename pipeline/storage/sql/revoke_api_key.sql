UPDATE api_keys SET revoked_at = coalesce(revoked_at, now()), previous_hash = NULL, previous_until = NULL
WHERE key_id = $1
RETURNING *;
