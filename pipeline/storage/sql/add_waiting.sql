-- What is there already (the same record, read again) stays as it is.
INSERT INTO waiting (
    notification_id, deferred_at, due_at, recipient_id, idempotency_key, channel, urgency, reason, collapse_key,
    created_at, arrival, traceparent, record
)
SELECT * FROM unnest(
    $1::uuid[], $2::timestamptz[], $3::timestamptz[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::text[],
    $9::text[], $10::timestamptz[], $11::bigint[], $12::bytea[], $13::bytea[]
)
ON CONFLICT DO NOTHING;
