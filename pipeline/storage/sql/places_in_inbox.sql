SELECT notification_id::text, place FROM inbox WHERE notification_id = ANY($1::uuid[]);
