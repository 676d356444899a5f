SELECT DISTINCT (occurred_at AT TIME ZONE 'UTC')::date FROM status_events_other WHERE occurred_at < $1;
