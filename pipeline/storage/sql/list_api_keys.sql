SELECT * FROM api_keys ORDER BY created_at, key_id;
