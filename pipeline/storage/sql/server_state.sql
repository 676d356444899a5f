SELECT
    current_setting('server_version_num')::int,
    pg_is_in_recovery(),
    current_setting('default_transaction_read_only')::bool,
    current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int,
    (SELECT count(*)::int FROM pg_stat_activity WHERE backend_type = 'client backend')
