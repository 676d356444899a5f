SELECT * FROM status_events WHERE event_id = $1 AND occurred_at >= $2 AND occurred_at < $3
ORDER BY occurred_at, attempt, status;
