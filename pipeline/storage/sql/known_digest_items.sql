SELECT notification_id FROM digest_items WHERE notification_id = ANY($1::uuid[]);
