CREATE CONNECTION pg_fdw TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'foreign_table',
    type = 'sink',
    is_foreign_table = true
);
