CREATE CONNECTION pg_copy TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'large_dataset',
    type = 'sink',
    use_copy = true,
    copy_batch_size = 10000
);

-- Bulk load data
CREATE PIPELINE bulk_load AS
INSERT INTO pg_copy
SELECT * FROM source_data;
