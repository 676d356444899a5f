-- What user $1[i]'s request $2[i], taken back at $3[i], has in a digest that still collects.
UPDATE digest_items AS i SET
    verdict = 'cancelled', reason = 'cancelled', rule = 'cancelled', settled_at = greatest(c.at, i.deferred_at)
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS c (recipient_id, idempotency_key, at)
WHERE i.recipient_id = c.recipient_id AND i.idempotency_key = c.idempotency_key AND i.verdict IS NULL;
