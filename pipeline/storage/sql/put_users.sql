INSERT INTO users (user_id, email, phone, locale, timezone)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
ON CONFLICT (user_id) DO UPDATE SET
    email = excluded.email,
    phone = excluded.phone,
    locale = excluded.locale,
    timezone = excluded.timezone,
    updated_at = now()
WHERE (users.email, users.phone, users.locale, users.timezone)
    IS DISTINCT FROM (excluded.email, excluded.phone, excluded.locale, excluded.timezone);
