CREATE CONNECTION pg_delete TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'expired_sessions',
    type = 'sink',
    write_mode = 'delete',
    key_columns = 'session_id'
);

-- Delete expired sessions
CREATE PIPELINE cleanup_sessions AS
INSERT INTO pg_delete
SELECT session_id
FROM sessions
WHERE expired_at < NOW() - INTERVAL '24 hours';
