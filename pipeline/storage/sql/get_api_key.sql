SELECT * FROM api_keys WHERE key_id = $1;
