-- Tables of ours with a column that holds a user's id; of a partitioned one only the whole.
SELECT c.relname::text, a.attname::text
FROM pg_class AS c
JOIN pg_attribute AS a ON a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped
WHERE c.relnamespace = current_schema()::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
    AND a.attname IN ('user_id', 'recipient_id') AND a.atttypid IN ('text'::regtype, 'varchar'::regtype)
ORDER BY c.relname;
