CREATE CONNECTION pg_rls TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'app_user',
    password = '${secret:password}',
    table = 'user_data',
    type = 'sink',
    set_role = 'data_writer',
    session_variables = MAP {
        'app.current_tenant': 'tenant_123'
    }
);
