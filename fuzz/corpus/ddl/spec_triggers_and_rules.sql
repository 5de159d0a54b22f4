CREATE CONNECTION pg_triggers TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'audit_events',
    type = 'sink',
    disable_triggers = false,
    fire_triggers = 'ALWAYS'  -- ALWAYS, REPLICA, DISABLED
);
