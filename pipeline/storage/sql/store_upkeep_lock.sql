SELECT pg_try_advisory_xact_lock(hashtextextended('notifications.store.upkeep', 0));
