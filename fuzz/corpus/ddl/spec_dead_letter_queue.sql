-- Main sink
CREATE CONNECTION pg_main TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'events',
    type = 'sink'
);

-- Error handler
CREATE PIPELINE pg_with_dlq AS
WITH validated AS (
    SELECT 
        *,
        validate_record(data) as is_valid
    FROM source_data
)
INSERT INTO pg_main
SELECT * FROM validated WHERE is_valid = true
UNION ALL
INSERT INTO error_log
SELECT 
    data,
    'validation_failed' as error_type,
    NOW() as error_time
FROM validated WHERE is_valid = false;
