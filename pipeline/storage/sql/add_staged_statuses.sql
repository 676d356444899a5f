INSERT INTO status_events SELECT * FROM staged_statuses ON CONFLICT DO NOTHING
RETURNING event_id, notification_id::text, occurred_at, status, attempt;
