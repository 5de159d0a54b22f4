-- Rows that cannot be written become dead letters, and the others are written. Run as
--
--   pgsink -f examples/dead_letters.sql --set pg_host=localhost --set pg_port=5432 \
--     --set pg_password=…
--
-- The table:
-- CREATE TABLE orders (id bigint PRIMARY KEY, quantity int NOT NULL CHECK (quantity > 0))
-- pgsink ends with exit code 3: finished, but rows were rejected.

CREATE CONNECTION orders TO postgresql (
    host = '${pg_host}',
    port = ${pg_port},
    database = 'analytics',
    username = 'user',
    password = '${pg_password}',
    table = 'orders',
    type = 'sink',
    dead_letter_table = 'orders_rejected',
    max_reject_ratio = 0.05
);

-- One in a hundred has no quantity, one in a hundred too large a number for the column.
CREATE PIPELINE load_orders AS
INSERT INTO orders
SELECT
    i AS id,
    CASE i % 100 WHEN 7 THEN NULL WHEN 8 THEN 3000000000 ELSE 1 + i % 9 END AS quantity
FROM range(10000) AS r(i);

SELECT rows_written, rejected_rows FROM system.postgresql_sink_metrics;
