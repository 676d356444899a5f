UPDATE digests SET state = 'sent' WHERE digest_id = ANY($1::uuid[]);
