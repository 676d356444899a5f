DELETE FROM store_rejected AS r
USING unnest($1::integer[], $2::bigint[], $3::timestamptz[]) AS d (kafka_partition, kafka_offset, produced_at)
WHERE r.kafka_partition = d.kafka_partition AND r.kafka_offset = d.kafka_offset AND r.produced_at = d.produced_at;
