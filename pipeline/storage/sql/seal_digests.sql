UPDATE digests SET state = 'sealed', joinable = false, sealed_at = $2 WHERE digest_id = ANY($1::uuid[]);
