CREATE CONNECTION pg_2pc TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'critical_data',
    type = 'sink',
    use_2pc = true,
    prepared_transaction_id = 'laminar_${uuid}'
);
