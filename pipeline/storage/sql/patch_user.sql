-- Changes what $2 (an array of column names) names, and answers with the whole profile; nothing where there is none.
UPDATE users SET
    email = CASE WHEN 'email' = ANY($2::text[]) THEN $3 ELSE email END,
    phone = CASE WHEN 'phone' = ANY($2::text[]) THEN $4 ELSE phone END,
    locale = CASE WHEN 'locale' = ANY($2::text[]) THEN $5 ELSE locale END,
    timezone = CASE WHEN 'timezone' = ANY($2::text[]) THEN $6 ELSE timezone END,
    updated_at = now()
WHERE user_id = $1
RETURNING user_id, email, phone, locale, timezone;
