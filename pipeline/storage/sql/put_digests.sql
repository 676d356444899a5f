-- In the order given: one that is joinable no more comes before its successor.
INSERT INTO digests AS d (
    digest_id, recipient_id, channel, event_type, digest_key, into_type, most_items, opened_at, due_at, items, joinable
)
SELECT * FROM unnest(
    $1::uuid[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::integer[], $8::timestamptz[],
    $9::timestamptz[], $10::integer[], $11::boolean[]
)
ON CONFLICT (digest_id) DO UPDATE SET
    due_at = excluded.due_at, items = excluded.items, joinable = excluded.joinable;
