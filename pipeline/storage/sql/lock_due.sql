-- Those that nobody else is releasing; held until the transaction ends.
SELECT notification_id, deferred_at, due_at, urgency, reason, traceparent, state, stopped_at, record FROM waiting
WHERE state = 'waiting' AND channel = $1 AND urgency = $2 AND due_at <= $3 AND (due_at, notification_id) > ($4, $6)
ORDER BY due_at, notification_id
LIMIT $5
FOR UPDATE SKIP LOCKED;
