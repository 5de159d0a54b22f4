CREATE CONNECTION postgres_sink TO postgresql (
    host = 'localhost',
    port = 5432,
    database = 'analytics',
    username = 'laminar',
    password = '${secret:pg_password}',
    table = 'events',
    type = 'sink'
);
