-- Where the e-mail or SMS channel of a user who is erased is suppressed, their address stays suppressed by its hash.
INSERT INTO suppressions (channel, stream, address_hash, reason, expires_at)
SELECT s.channel, s.stream, CASE s.channel WHEN 'email' THEN u.email_hash ELSE u.phone_hash END, s.reason, s.expires_at
FROM suppressions AS s
JOIN users AS u ON u.user_id = s.user_id
WHERE s.user_id = ANY($1::text[]) AND s.address_hash IS NULL AND s.channel IN ('email', 'sms')
    AND CASE s.channel WHEN 'email' THEN u.email_hash ELSE u.phone_hash END IS NOT NULL
ON CONFLICT DO NOTHING;
