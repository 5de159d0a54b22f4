CREATE CONNECTION pg_batch TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'metrics',
    type = 'sink',
    batch_size = 5000,
    batch_timeout_ms = 1000,
    use_prepared_statements = true
);
