-- Records $3[i] of user $1[i] about category $2[i] at $4[i] (null: now), unless that is known: the same word at that time,
-- or without a time what the newest row says already.
INSERT INTO user_consents (user_id, category, granted, at, source, wording_version)
SELECT given.user_id, given.category, given.granted, coalesce(given.at, now()), given.source, given.wording_version
FROM unnest($1::text[], $2::text[], $3::boolean[], $4::timestamptz[], $5::text[], $6::text[])
    AS given (user_id, category, granted, at, source, wording_version)
LEFT JOIN LATERAL (
    SELECT granted FROM user_consents AS c
    WHERE c.user_id = given.user_id AND c.category = given.category AND (given.at IS NULL OR c.at = given.at)
    ORDER BY at DESC, id DESC
    LIMIT 1
) AS known ON true
WHERE known.granted IS DISTINCT FROM given.granted;
