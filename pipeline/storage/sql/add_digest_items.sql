INSERT INTO digest_items (
    notification_id, digest_id, recipient_id, idempotency_key, deferred_at, arrival, traceparent, record
)
SELECT * FROM unnest(
    $1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::bigint[], $7::bytea[], $8::bytea[]
);
