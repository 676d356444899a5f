-- What of these users waits for a time, or is collected in a digest that is not sent: when that was stopped, and the record.
SELECT coalesce(w.stopped_at, now()) AS at, w.record FROM waiting AS w
WHERE w.recipient_id = ANY($1::text[]) AND w.state IN ('waiting', 'recheck', 'cancelled', 'replaced') AND w.record IS NOT NULL
FOR UPDATE;
