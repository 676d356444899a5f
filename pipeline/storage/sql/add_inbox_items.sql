-- Returns the ids that were not there before.
INSERT INTO inbox (notification_id, user_id, event_type, category, title, body, link, data, created_at)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::jsonb[], $9::timestamptz[]
)
ON CONFLICT (notification_id) DO NOTHING
RETURNING notification_id::text;
