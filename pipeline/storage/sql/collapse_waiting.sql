-- Of all that waits for user $1[i] on channel $2[i] with collapse key $3[i] the newest event stays, whenever it came to
-- wait: what is deferred a second time is older than it looks. Of events of one moment the one that came last stays.
WITH keys AS (
    SELECT DISTINCT * FROM unnest($1::text[], $2::text[], $3::text[]) AS k (recipient_id, channel, collapse_key)
), ranked AS (
    SELECT
        w.notification_id,
        w.deferred_at,
        w.due_at,
        first_value(w.notification_id) OVER newest AS winner,
        first_value(w.deferred_at) OVER newest AS replaced_at
    FROM keys JOIN waiting AS w USING (recipient_id, channel, collapse_key)
    WHERE w.state IN ('waiting', 'recheck')
    WINDOW newest AS (
        PARTITION BY w.recipient_id, w.channel, w.collapse_key ORDER BY w.created_at DESC, w.arrival DESC
    )
)
UPDATE waiting AS w SET state = 'replaced', stopped_at = greatest(w.deferred_at, r.replaced_at)
FROM ranked AS r
WHERE w.notification_id = r.notification_id AND w.deferred_at = r.deferred_at AND w.due_at = r.due_at
    AND w.notification_id <> r.winner AND w.state IN ('waiting', 'recheck');
