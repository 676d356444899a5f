-- Until the end of the transaction: users who register the same token take turns.
SELECT pg_advisory_xact_lock(hash) FROM (SELECT hashtextextended(unnest($1::text[]), 0) AS hash ORDER BY hash) AS locks;
