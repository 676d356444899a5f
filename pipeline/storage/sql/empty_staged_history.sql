TRUNCATE staged_history;
