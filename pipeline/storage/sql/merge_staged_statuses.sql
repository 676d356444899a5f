INSERT INTO status_events SELECT * FROM staged_statuses ON CONFLICT DO NOTHING;
