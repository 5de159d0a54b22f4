CREATE CONNECTION pg_prepared TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'metrics',
    type = 'sink',
    use_prepared_statements = true,
    statement_cache_size = 100
);
