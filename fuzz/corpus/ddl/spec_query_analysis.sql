-- Analyze slow queries
SELECT 
    query,
    calls,
    total_time,
    mean_time,
    max_time,
    rows
FROM system.postgresql_statements
WHERE connection = 'postgres_sink'
ORDER BY mean_time DESC
LIMIT 10;
