CREATE CONNECTION pg_arrays TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'array_data',
    type = 'sink'
);

-- Store array data
CREATE PIPELINE array_pipeline AS
INSERT INTO pg_arrays
SELECT 
    user_id,
    ARRAY_AGG(tag) as tags,
    ARRAY_AGG(score) as scores
FROM user_data
GROUP BY user_id;
