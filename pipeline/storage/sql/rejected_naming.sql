-- Records that the store kept apart and that hold one of these strings of bytes.
SELECT kafka_partition, kafka_offset, produced_at, coalesce(key, '') AS key, coalesce(value, '') AS value, error
FROM store_rejected
WHERE EXISTS (
    SELECT FROM unnest($1::bytea[]) AS n
    WHERE position(n IN key) > 0 OR position(n IN value) > 0 OR position(n IN convert_to(error, 'UTF8')) > 0
);
