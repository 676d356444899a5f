SELECT channel, notif_type, enabled, quiet_start, quiet_end, timezone
FROM user_notification_preferences
WHERE user_id = $1
ORDER BY channel, notif_type;
