SELECT waiting_add_day($1);
