CREATE CONNECTION pg_retry TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'events',
    type = 'sink',
    max_retries = 5,
    retry_backoff_ms = 1000,
    retry_on_errors = 'connection_failure,deadlock'
);
