SELECT state, rows, fingerprint FROM store_archives WHERE dataset = $1 AND day = $2;
