CREATE CONNECTION pg_parallel TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'large_table',
    type = 'sink',
    parallelism = 10,
    partition_by = 'hash(id)'
);
