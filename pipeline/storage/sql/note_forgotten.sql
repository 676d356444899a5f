UPDATE store_archives SET rows = $1, fingerprint = $2, changed_at = now()
WHERE dataset = $3 AND day = $4 AND state = 'dropped';
