SELECT * FROM digest_items WHERE digest_id = ANY($1::uuid[]) ORDER BY digest_id, arrival;
