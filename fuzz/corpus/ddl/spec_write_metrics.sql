-- Monitor PostgreSQL sink performance
SELECT 
    connection_name,
    rows_written,
    batches_sent,
    avg_batch_size,
    avg_write_latency_ms,
    failed_writes,
    retry_count,
    last_error
FROM system.postgresql_sink_metrics
WHERE connection_name LIKE 'pg_%';
