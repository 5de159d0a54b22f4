-- Monitor connection pool
SELECT 
    connection_name,
    pool_size,
    active_connections,
    idle_connections,
    waiting_requests,
    connection_wait_time_ms
FROM system.postgresql_pool_stats;
