SELECT encode(user_hash(user_id), 'hex') FROM unnest($1::text[]) WITH ORDINALITY AS given (user_id, place) ORDER BY place;
