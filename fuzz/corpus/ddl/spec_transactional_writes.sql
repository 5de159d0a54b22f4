CREATE CONNECTION pg_transactional TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'financial_transactions',
    type = 'sink',
    transaction_size = 100,
    isolation_level = 'READ_COMMITTED'
);

-- Ensure atomic writes
CREATE PIPELINE financial_pipeline AS
INSERT INTO pg_transactional
SELECT 
    transaction_id,
    account_id,
    amount,
    balance,
    timestamp
FROM transactions
WHERE validated = true;
