SELECT d.* FROM digests AS d
JOIN unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS k (recipient_id, channel, event_type, digest_key)
    USING (recipient_id, channel, event_type, digest_key)
WHERE d.joinable
ORDER BY d.digest_id
FOR UPDATE OF d;
