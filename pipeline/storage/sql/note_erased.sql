INSERT INTO erased_users (user_hash, erased_at) SELECT user_hash(user_id), $2 FROM unnest($1::text[]) AS given (user_id)
ON CONFLICT (user_hash) DO UPDATE SET erased_at = excluded.erased_at;
