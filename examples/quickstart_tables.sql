-- The tables that examples/quickstart.sql writes to. Run with psql, in the database `analytics`.

CREATE TABLE events (
    event_id    bigint PRIMARY KEY,
    user_id     bigint NOT NULL,
    event_type  text NOT NULL,
    timestamp   timestamptz NOT NULL,
    properties  jsonb
);

CREATE TABLE large_dataset (
    id           bigint PRIMARY KEY,
    recorded_at  timestamptz NOT NULL,
    price        numeric(12,2) NOT NULL,
    quantity     integer,
    venue        text NOT NULL,
    tags         text[]
);
