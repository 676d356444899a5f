INSERT INTO api_keys (key_id, name, scopes, secret_hash, rate, burst, daily_quota, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING *;
