-- Records a consent of user $1[i] to category $2[i] unless that is what the newest row says already.
INSERT INTO user_consents (user_id, category, granted, source)
SELECT given.user_id, given.category, true, 'import'
FROM unnest($1::text[], $2::text[]) AS given (user_id, category)
LEFT JOIN LATERAL (
    SELECT granted FROM user_consents AS c
    WHERE c.user_id = given.user_id AND c.category = given.category
    ORDER BY at DESC, id DESC
    LIMIT 1
) AS newest ON true
WHERE newest.granted IS DISTINCT FROM true;
