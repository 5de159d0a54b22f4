CREATE CONNECTION pg_partitioned TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'events',
    type = 'sink',
    partition_column = 'created_at',
    partition_type = 'range',
    create_partitions = true
);

-- Write to partitioned table
CREATE PIPELINE partitioned_writes AS
INSERT INTO pg_partitioned
SELECT 
    event_id,
    event_type,
    created_at,
    data
FROM events
WHERE created_at >= CURRENT_DATE;
