UPDATE digest_items AS i SET verdict = s.verdict, reason = s.reason, rule = s.rule, settled_at = $5
FROM unnest($1::uuid[], $2::text[], $3::text[], $4::text[]) AS s (notification_id, verdict, reason, rule)
WHERE i.notification_id = s.notification_id AND i.verdict IS NULL;
