-- What was cancelled or replaced, or is to be decided again before its time.
SELECT notification_id, deferred_at, due_at, urgency, reason, traceparent, state, stopped_at, record FROM waiting
WHERE state IN ('recheck', 'cancelled', 'replaced')
LIMIT $1
FOR UPDATE SKIP LOCKED;
