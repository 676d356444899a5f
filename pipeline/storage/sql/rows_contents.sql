-- {columns} and {table} are filled in by pipeline.store.archive.
SELECT count(*), coalesce(sum(hashtextextended(ROW({columns})::text, 0)::numeric), 0)::text FROM {table};
