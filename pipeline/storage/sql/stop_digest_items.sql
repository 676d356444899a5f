UPDATE digest_items SET settled_at = greatest($2, deferred_at)
WHERE recipient_id = ANY($1::text[]) AND verdict IS NULL AND settled_at IS NULL;
