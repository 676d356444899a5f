SELECT DISTINCT (created_at AT TIME ZONE 'UTC')::date FROM history_other WHERE created_at < $1;
