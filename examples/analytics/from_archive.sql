-- For DuckDB: `duckdb -c "SET VARIABLE archive = '/var/lib/notifications/archive'" -f from_archive.sql`, or from Python as
-- docs/analysts.md shows. With s3://…: INSTALL httpfs; CREATE SECRET (TYPE s3, …) first. `day` is in the paths, so a
-- condition on it opens only those files.
SELECT
    channel,
    event_type,
    count(*) FILTER (WHERE sent_at IS NOT NULL) AS sent,
    count(*) FILTER (WHERE status = 'failed') AS failed,
    sent / nullif(sent + failed, 0) AS delivery_rate,
    count(*) FILTER (WHERE sent_at IS NOT NULL AND coalesce(opened_at, read_at, clicked_at) IS NOT NULL)
        / nullif(sent, 0) AS open_rate,
    quantile_cont(epoch_ms(sent_at) - epoch_ms(created_at), 0.5) AS p50_ms,
    quantile_cont(epoch_ms(sent_at) - epoch_ms(created_at), 0.95) AS p95_ms,
    quantile_cont(epoch_ms(sent_at) - epoch_ms(created_at), 0.99) AS p99_ms
FROM read_parquet(getvariable('archive') || '/history/day=*/rows.parquet', hive_partitioning = true)
WHERE channel <> ''
GROUP BY channel, event_type
ORDER BY channel, event_type;
