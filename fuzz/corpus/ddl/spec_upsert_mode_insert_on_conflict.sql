CREATE CONNECTION pg_upsert TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'users',
    type = 'sink',
    write_mode = 'upsert',
    conflict_columns = 'user_id',
    update_columns = 'last_seen,activity_count'
);

-- Upsert user activity
CREATE PIPELINE upsert_users AS
INSERT INTO pg_upsert
SELECT 
    user_id,
    username,
    NOW() as last_seen,
    activity_count + 1 as activity_count
FROM user_activity;
