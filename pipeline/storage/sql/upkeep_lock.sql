SELECT pg_try_advisory_xact_lock(hashtextextended('notifications.scheduler.upkeep', 0));
