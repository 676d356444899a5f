SELECT pg_try_advisory_lock(hashtextextended('notifications.store.archive', 0));
