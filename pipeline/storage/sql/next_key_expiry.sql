-- When the next API key ends that is in force; null: none of them has an end.
SELECT min(expires_at) FROM api_keys WHERE revoked_at IS NULL AND expires_at > now();
