-- Of these users those who were erased. Where nobody was, no id is hashed.
SELECT given.user_id FROM unnest($1::text[]) AS given (user_id)
WHERE EXISTS (SELECT FROM erased_users)
    AND EXISTS (SELECT FROM erased_users AS e WHERE e.user_hash = user_hash(given.user_id))
    AND NOT EXISTS (SELECT FROM users AS u WHERE u.user_id = given.user_id);
