INSERT INTO store_rejected
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::timestamptz[], $4::text[], $5::text[], $6::bytea[], $7::bytea[])
ON CONFLICT DO NOTHING;
