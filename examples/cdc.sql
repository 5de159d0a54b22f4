-- The changes of a table in one PostgreSQL database, into another, until Ctrl-C. Run as
--
--   pgsink -f examples/cdc.sql --set pg_host=localhost --set pg_port=5432 --set pg_password=…
--
-- The source needs wal_level = logical and a role with REPLICATION; the table a primary key:
-- CREATE TABLE accounts (id bigint PRIMARY KEY, balance numeric(12,2)). The target,
-- accounts_copy, has the same columns.

CREATE CONNECTION changes TO postgresql (
    host = '${pg_host}',
    port = ${pg_port},
    database = 'analytics',
    username = 'user',
    password = '${pg_password}',
    table = 'accounts',
    type = 'source',
    publication = 'accounts_pub',
    replication_slot = 'accounts_slot'
);

CREATE CONNECTION copies TO postgresql (
    host = '${pg_host}',
    port = ${pg_port},
    database = 'analytics',
    username = 'user',
    password = '${pg_password}',
    table = 'accounts_copy',
    type = 'sink',
    write_mode = 'changelog',
    batch_timeout_ms = 200
);

-- The rows that are there, then every change; _op says what each is: I, U or D.
CREATE PIPELINE follow AS
INSERT INTO copies
SELECT * FROM changes WHERE _op <> 'T';
