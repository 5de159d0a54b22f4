-- What each process of examples/kafka runs. More of them share the work; the cluster divides the
-- partitions among those that live.
CREATE CONNECTION clicks_table TO postgresql (
    host = '${host}', port = '${port}', database = 'postgres', username = 'postgres',
    table = 'clicks', delivery = 'exactly_once', sink_id = 'clicks-from-kafka',
    batch_timeout_ms = 200
);
CREATE CONNECTION clicks TO kafka (
    type = 'source', brokers = '${broker}', topic = 'clicks', group_id = 'pg-clicks',
    format = 'json', columns = MAP {'id': 'BIGINT', 'page': 'VARCHAR'},
    properties = MAP {'session.timeout.ms': '6000'}
);
INSERT INTO clicks_table
SELECT id, page, _partition AS partition, _offset AS position FROM clicks;
