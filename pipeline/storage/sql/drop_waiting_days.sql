SELECT waiting_drop_days($1);
