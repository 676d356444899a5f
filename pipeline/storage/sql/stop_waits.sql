-- Notes when these users were erased first, so that a second run writes the same records as the first.
UPDATE waiting SET stopped_at = greatest($2, deferred_at)
WHERE recipient_id = ANY($1::text[]) AND state IN ('waiting', 'recheck') AND stopped_at IS NULL;
