CREATE CONNECTION pg_composite TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'composite_data',
    type = 'sink'
);

-- Store composite types
CREATE PIPELINE composite_pipeline AS
INSERT INTO pg_composite
SELECT 
    id,
    ROW(street, city, state, zip) as address,
    ROW(lat, lon) as coordinates
FROM locations;
