CREATE CONNECTION pg_ssl TO postgresql (
    host = 'secure.example.com',
    port = 5432,
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'secure_data',
    type = 'sink',
    ssl_mode = 'require',  -- disable, allow, prefer, require, verify-ca, verify-full
    ssl_cert = '/certs/client-cert.pem',
    ssl_key = '/certs/client-key.pem',
    ssl_root_cert = '/certs/ca-cert.pem'
);
