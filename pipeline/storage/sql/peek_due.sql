-- How many, up to $5, wait on channel $1 with urgency $2 and are due at $3, behind ($4, $6).
SELECT count(*) FROM (
    SELECT FROM waiting
    WHERE state = 'waiting' AND channel = $1 AND urgency = $2 AND due_at <= $3 AND (due_at, notification_id) > ($4, $6)
    ORDER BY due_at, notification_id
    LIMIT $5
) AS due;
