SELECT dataset, day FROM store_partitions WHERE day < $1 ORDER BY day, dataset;
