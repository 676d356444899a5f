-- {table} is filled in by pipeline.store.retention.
DELETE FROM {table} WHERE CASE WHEN $1 = '*' THEN category <> ALL($2::text[]) ELSE category = $1 END;
