-- Deletes all rows but ($2[i], $3[i]).
DELETE FROM user_notification_preferences AS p
WHERE p.user_id = $1 AND NOT EXISTS (
    SELECT FROM unnest($2::text[], $3::text[]) AS kept (channel, notif_type)
    WHERE kept.channel = p.channel AND kept.notif_type = p.notif_type
);
