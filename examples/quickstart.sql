-- 1,000,000 generated events into PostgreSQL, twice: through a connection with the defaults, and by
-- COPY in larger batches. The tables are made by quickstart_tables.sql. Run as
--
--   pgsink -f examples/quickstart.sql --set pg_host=localhost --set pg_port=5432 \
--     --set pg_password=…

-- Any other statement than pgsink's own goes to the embedded SQL engine, DuckDB. The sources
-- could as well be read_csv('events.csv'), read_parquet('events/*.parquet') or
-- read_json('events.ndjson').
CREATE VIEW source_events AS
SELECT
    i AS event_id,
    (1 + hash(i) % 50000)::BIGINT AS user_id,
    ['page_view', 'click', 'sign_up', 'purchase', 'log_out'][1 + (hash(i + 1) % 5)::INTEGER]
        AS event_type,
    TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_microseconds(i * 1234567) AS timestamp,
    CASE WHEN i % 10 <> 0 THEN TO_JSON({
        'page': '/product/' || hash(i + 2) % 1000,
        'seconds': round(hash(i + 3) % 100000 / 1000, 3),
        'name': ['Zoë', 'José', '李雷', 'O''Brien', 'Åsa'][1 + (hash(i + 4) % 5)::INTEGER]
    }) END AS properties
FROM range(1000000) AS r(i);

CREATE VIEW source_data AS
SELECT
    i AS id,
    TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_microseconds(i * 4321) AS recorded_at,
    (10 + hash(i) % 1000000 / 100)::DECIMAL(12,2) AS price,
    CASE WHEN i % 7 <> 0 THEN (hash(i + 1) % 10000)::INTEGER END AS quantity,
    ['XETRA', 'NYSE', 'LSE', 'TSE'][1 + (hash(i + 2) % 4)::INTEGER] AS venue,
    [v FOR v IN ['fast', 'dark', 'auction'] IF hash(v || i) % 2 = 0] AS tags
FROM range(1000000) AS r(i);

CREATE CONNECTION pg_insert TO postgresql (
    host = '${pg_host}',
    port = ${pg_port},
    database = 'analytics',
    username = 'user',
    password = '${pg_password}',
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

CREATE CONNECTION pg_copy TO postgresql (
    host = '${pg_host}',
    port = ${pg_port},
    database = 'analytics',
    username = 'user',
    password = '${pg_password}',
    table = 'large_dataset',
    type = 'sink',
    use_copy = true,
    copy_batch_size = 10000
);

-- Bulk load data
CREATE PIPELINE bulk_load AS
INSERT INTO pg_copy
SELECT * FROM source_data;

-- What was written, measured while it was written.
SELECT
    connection_name,
    rows_written,
    batches_sent,
    round(avg_batch_size) AS avg_batch_size,
    round(avg_write_latency_ms, 2) AS avg_write_latency_ms,
    failed_writes,
    retry_count
FROM system.postgresql_sink_metrics
ORDER BY connection_name;
