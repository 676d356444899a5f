SELECT count(*) FROM history_other;
