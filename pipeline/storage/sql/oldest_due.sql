-- Since when what waits on channel $1, with one of the urgencies $2, has been due at $3; null: nothing is due.
SELECT min(first.due_at) FROM unnest($2::smallint[]) AS urgent, LATERAL (
    SELECT due_at FROM waiting
    WHERE state = 'waiting' AND channel = $1 AND urgency = urgent AND due_at <= $3
    ORDER BY due_at
    LIMIT 1
) AS first;
