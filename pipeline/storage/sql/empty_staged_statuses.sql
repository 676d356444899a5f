TRUNCATE staged_statuses;
