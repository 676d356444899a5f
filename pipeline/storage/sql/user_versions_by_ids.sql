SELECT user_id, version FROM user_versions WHERE user_id = ANY($1::text[]);
