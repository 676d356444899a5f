SELECT dataset, name, day, rows_estimated, bytes FROM store_partitions ORDER BY day, dataset;
