INSERT INTO store_archives (dataset, day, state, rows, fingerprint) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (dataset, day) DO UPDATE
SET state = excluded.state, rows = excluded.rows, fingerprint = excluded.fingerprint, changed_at = now();
