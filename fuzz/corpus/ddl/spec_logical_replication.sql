CREATE CONNECTION pg_logical TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'replicated_table',
    type = 'sink',
    replication_slot = 'laminar_slot',
    publication = 'laminar_pub'
);
