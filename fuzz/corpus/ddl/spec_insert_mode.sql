CREATE CONNECTION pg_insert TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'events',
    type = 'sink',
    write_mode = 'insert'
);

-- Insert new records
CREATE PIPELINE insert_events AS
INSERT INTO pg_insert
SELECT 
    event_id,
    user_id,
    event_type,
    timestamp,
    properties
FROM source_events;
