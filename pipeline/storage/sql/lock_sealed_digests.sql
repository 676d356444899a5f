SELECT * FROM digests WHERE state = 'sealed' ORDER BY sealed_at LIMIT $1 FOR UPDATE SKIP LOCKED;
