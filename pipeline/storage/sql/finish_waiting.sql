-- A row that was released keeps when that was: later steps of its event wait from then.
UPDATE waiting AS w
SET state = $4, record = NULL, stopped_at = CASE WHEN $4 = 'released' THEN $5 ELSE w.stopped_at END
FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS f (notification_id, deferred_at, due_at)
WHERE w.notification_id = f.notification_id AND w.deferred_at = f.deferred_at AND w.due_at = f.due_at;
