-- All channels of user $1[i]'s request $2[i] that wait, taken back at $3[i].
UPDATE waiting AS w SET state = 'cancelled', stopped_at = greatest(c.at, w.deferred_at)
FROM unnest($1::text[], $2::text[], $3::timestamptz[]) AS c (recipient_id, idempotency_key, at)
WHERE w.recipient_id = c.recipient_id AND w.idempotency_key = c.idempotency_key AND w.state IN ('waiting', 'recheck');
