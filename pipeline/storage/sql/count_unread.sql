SELECT count(*) FROM inbox WHERE user_id = $1 AND read_at IS NULL AND archived_at IS NULL;
