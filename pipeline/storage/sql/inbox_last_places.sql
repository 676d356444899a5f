SELECT user_id, last_place FROM inbox_heads WHERE user_id = ANY($1::text[]);
