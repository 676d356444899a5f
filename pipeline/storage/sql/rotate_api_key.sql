-- The old secret stays good for $3, so that callers can change over.
UPDATE api_keys SET
    previous_hash = CASE WHEN $3::interval > interval '0' THEN secret_hash END,
    previous_until = CASE WHEN $3::interval > interval '0' THEN now() + $3::interval END,
    secret_hash = $2,
    rotated_at = now()
WHERE key_id = $1 AND revoked_at IS NULL
RETURNING *;
