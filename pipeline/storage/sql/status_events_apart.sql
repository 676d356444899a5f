SELECT count(*) FROM status_events_other;
