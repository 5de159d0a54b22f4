CREATE CONNECTION pg_update TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'products',
    type = 'sink',
    write_mode = 'update',
    key_columns = 'product_id'
);

-- Update product prices
CREATE PIPELINE update_prices AS
INSERT INTO pg_update
SELECT 
    product_id,
    new_price as price,
    NOW() as updated_at
FROM price_changes;
