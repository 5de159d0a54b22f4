CREATE CONNECTION pg_list_partition TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'regional_data',
    type = 'sink',
    partition_column = 'region',
    partition_type = 'list'
);
