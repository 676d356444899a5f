-- How notification $1[i] of user $2[i]'s event of $3[i] stands: what the store and the inbox know, and its waits that
-- the router began (a worker's are no answer to when it goes). No wait is due before both the event and $4[i].
SELECT
    e.notification_id,
    h.status,
    coalesce(h.sent_at, i.created_at) AS sent_at,
    h.clicked_at,
    least(h.opened_at, h.read_at, i.read_at, i.archived_at) AS seen_at,
    w.waits_until,
    w.went_at
FROM unnest($1::uuid[], $2::text[], $3::timestamptz[], $4::timestamptz[])
    AS e (notification_id, recipient_id, created_at, waited_at)
LEFT JOIN history AS h
    ON h.recipient_id = e.recipient_id AND h.created_at = e.created_at AND h.notification_id = e.notification_id
LEFT JOIN inbox AS i ON i.notification_id = e.notification_id AND i.user_id = e.recipient_id
CROSS JOIN LATERAL (
    SELECT
        max(w.due_at) FILTER (WHERE w.state IN ('waiting', 'recheck')) AS waits_until,
        max(w.stopped_at) FILTER (WHERE w.state = 'released') AS went_at
    FROM waiting AS w
    WHERE w.notification_id = e.notification_id AND w.due_at >= least(e.created_at, e.waited_at)
        AND w.reason IN ('escalation', 'scheduled', 'quiet_hours', 'frequency_cap')
) AS w;
