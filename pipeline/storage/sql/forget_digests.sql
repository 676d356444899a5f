DELETE FROM digests WHERE digest_id IN (
    SELECT digest_id FROM digests WHERE state = 'sent' AND sealed_at < $1 LIMIT 1000
);
