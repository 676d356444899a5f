-- Takes up to $1 changes of quiet hours from the queue and marks what waits for the end of those.
WITH taken AS (
    DELETE FROM quiet_hours_changes
    WHERE id IN (SELECT id FROM quiet_hours_changes ORDER BY id LIMIT $1 FOR UPDATE SKIP LOCKED)
    RETURNING user_id, changed_at
), changed AS (
    SELECT user_id, max(changed_at) AS changed_at FROM taken GROUP BY user_id
), marked AS (
    UPDATE waiting AS w
    SET state = 'recheck', stopped_at = greatest(c.changed_at, w.deferred_at + interval '1 millisecond')
    FROM changed AS c
    WHERE w.recipient_id = c.user_id AND w.state = 'waiting' AND w.reason = 'quiet_hours'
)
SELECT count(*) FROM taken;
