-- Test PostgreSQL connection
SELECT test_connection('postgres_sink');

-- Check table schema
SELECT * FROM system.postgresql_tables
WHERE connection = 'postgres_sink';
