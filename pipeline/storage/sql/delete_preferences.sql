-- Deletes the rows ($2[i], $3[i]).
DELETE FROM user_notification_preferences AS p
USING unnest($2::text[], $3::text[]) AS gone (channel, notif_type)
WHERE p.user_id = $1 AND p.channel = gone.channel AND p.notif_type = gone.notif_type;
