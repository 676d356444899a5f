INSERT INTO status_counts AS c
SELECT * FROM unnest(
    $1::timestamptz[], $2::text[], $3::text[], $4::text[], $5::text[], $6::text[], $7::smallint[], $8::bigint[]
)
ON CONFLICT (hour, channel, category, provider, status, reason, shard) DO UPDATE SET count = c.count + excluded.count;
