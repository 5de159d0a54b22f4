CREATE CONNECTION pg_json TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'json_data',
    type = 'sink'
);

-- Store JSON data
CREATE PIPELINE json_pipeline AS
INSERT INTO pg_json
SELECT 
    id,
    TO_JSON(event_data) as data,
    TO_JSONB(metadata) as metadata
FROM events;
