CREATE CONNECTION pg_pooled TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'high_volume',
    type = 'sink',
    connection_pool_size = 20,
    connection_timeout_ms = 5000,
    idle_timeout_ms = 600000
);
