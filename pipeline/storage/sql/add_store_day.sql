SELECT store_add_day($1, $2);
