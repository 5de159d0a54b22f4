// The specification's blocks, word for word, against a real server: what went in is what is there.
//
// The source rows leave DuckDB on two ways: through the block's pipeline, and through DuckDB's own
// CSV writer into a second table of the same types. On the server both tables must hold the same
// rows.

#include "shell/specification.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

/// Rows with everything that can go wrong on the way, then enough plain ones for several chunks.
constexpr const char* kNastyTexts = R"sql(
CREATE TABLE nasty AS
SELECT unnest(range(14))::BIGINT AS n, unnest([
    NULL, '', ' ', 'plain', 'O''Brien "quoted"', E'back\\slash', E'line\nbreak\ttab\rreturn',
    'Zoë Åsa 李雷 🐘', E'\\N', '\.', 'a,b;c|d', 'NULL', chr(8203) || chr(8238), repeat('é', 70000)
  ]) AS t, unnest([
    NULL, TIMESTAMPTZ '2026-01-02 03:04:05.678901+00', TIMESTAMPTZ '1969-12-31 23:59:59.999999+00',
    TIMESTAMPTZ '0001-01-01 00:00:00+00', TIMESTAMPTZ '9999-12-31 23:59:59.999999+00',
    'infinity'::TIMESTAMPTZ, '-infinity'::TIMESTAMPTZ, TIMESTAMPTZ '2000-01-01 00:00:00+00',
    TIMESTAMPTZ '2000-02-29 12:00:00.000001+00', TIMESTAMPTZ '1582-10-10 00:00:00+00',
    TIMESTAMPTZ '2024-03-31 02:30:00+02', NULL, TIMESTAMPTZ '2038-01-19 03:14:08+00',
    TIMESTAMPTZ '1900-01-01 00:00:00.1+00']) AS ts;
)sql";

class Specification : public testing::Test {
 protected:
  /// Runs sources and a block, then checks that `table` holds what `query` (of DuckDB) yields.
  /// `columns` are the columns of both, `equal` how the server compares them if not as they are.
  void expect_rows(const std::string& sources, const std::string& script, const std::string& table,
                   const std::string& query, const std::string& columns,
                   const std::string& compared = "") {
    const std::string file = folder_.path() + "/expected.csv";
    const auto run = pgsink_input(sources + script + ";\nCOPY (" + query + ") TO '" + file +
                                  "' (FORMAT csv, HEADER false);");
    ASSERT_EQ(run.exit_code, 0) << run.err;
    EXPECT_THAT(run.err, HasSubstr("rows/s")) << "no summary line";
    auto& server = analytics_server();
    server.sql("DROP TABLE IF EXISTS expected; CREATE TABLE expected (LIKE " + table + ")",
               "analytics");
    server.sql("COPY expected (" + columns + ") FROM PROGRAM 'cat " + file + "' (FORMAT csv)",
               "analytics");
    const std::string list = compared.empty() ? columns : compared;
    const std::string ours = "SELECT " + list + " FROM " + table;
    const std::string theirs = "SELECT " + list + " FROM expected";
    const auto count = [&](const std::string& rows) {
      return server.scalar("SELECT count(*) FROM (" + rows + ") AS r", "analytics");
    };
    EXPECT_EQ(count(ours), count(theirs));
    EXPECT_NE(count(ours), "0");
    EXPECT_EQ(count(ours + " EXCEPT ALL " + theirs), "0") << "rows that DuckDB does not have";
    EXPECT_EQ(count(theirs + " EXCEPT ALL " + ours), "0") << "rows that the server does not have";
  }

  void SetUp() override {
    analytics_server();
    std::filesystem::permissions(folder_.path(), std::filesystem::perms(0755));
  }

  TemporaryFolder folder_;
};

constexpr const char* kEventsTable =
    "(event_id bigint, user_id int, event_type text, timestamp timestamptz, properties jsonb)";
constexpr const char* kEventsColumns = "event_id, user_id, event_type, timestamp, properties";
constexpr const char* kSourceEvents = R"sql(
CREATE TABLE source_events AS
SELECT n AS event_id, (n * 7)::INTEGER AS user_id, t AS event_type, ts AS timestamp,
       CASE WHEN n <> 3 THEN to_json({'text': t, 'list': [1, NULL, 3]}) END AS properties FROM nasty
UNION ALL
SELECT i, NULLIF(i % 100, 0), 'type ' || i % 5,
       TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_microseconds(i * 1000001), to_json({'i': i})
FROM range(100, 10000) AS r(i);
)sql";

TEST_F(Specification, BasicConfigurationReachesTheServer) {
  create_table("events", kEventsTable);
  const auto tested =
      pgsink_input(block("Basic Configuration") + "SELECT test_connection('postgres_sink') AS r",
                   {"--format", "csv"});
  EXPECT_EQ(tested.exit_code, 0) << tested.err;
  EXPECT_EQ(tested.out, "r\nok\n");
  expect_rows(
      std::string(kNastyTexts) + kSourceEvents,
      block("Basic Configuration") + "INSERT INTO postgres_sink SELECT * FROM source_events",
      "events", "SELECT * FROM source_events", kEventsColumns);
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM events", "analytics"), "9914");
}

TEST_F(Specification, InsertModeWritesWhatTheSourceHolds) {
  create_table("events", kEventsTable);
  expect_rows(std::string(kNastyTexts) + kSourceEvents, block("INSERT Mode"), "events",
              "SELECT * FROM source_events", kEventsColumns);
}

TEST_F(Specification, CopyProtocolWritesEveryType) {
  create_table("large_dataset", R"sql((n bigint, t text, ts timestamptz, b boolean, i2 smallint,
    i4 int, f4 real, f8 double precision, num numeric(20,6), d date, tm time, tz timestamp,
    u uuid, y bytea, iv interval, huge numeric))sql");
  expect_rows(std::string(kNastyTexts) + R"sql(
CREATE TABLE source_data AS
SELECT n, t, ts, n % 2 = 0 AS b, (n * 1000 - 7)::SMALLINT AS i2, (n - 5)::INTEGER AS i4,
       (n / 8)::FLOAT AS f4, CASE n WHEN 1 THEN 'NaN' WHEN 2 THEN 'Infinity' WHEN 3 THEN '-Infinity'
                                    WHEN 4 THEN '-0.0' ELSE n / 3 END::DOUBLE AS f8,
       ((n - 7) * 123456.789012)::DECIMAL(20,6) AS num,
       CASE WHEN n <> 2 THEN DATE '1999-12-25' + n::INTEGER END AS d,
       TIME '23:59:59.999999' AS tm, TIMESTAMP '1960-02-29 13:14:15.161718' AS tz,
       CASE WHEN n <> 5 THEN '6ec0bd7f-11c0-43da-975e-2a8ad9ebae0b'::UUID END AS u,
       CASE WHEN n <> 6 THEN '\x00\xFF\x27'::BLOB END AS y,
       INTERVAL '1 month -3 days 04:05:06.789012' AS iv,
       (170141183460469231731687303715884105727::HUGEINT // (n + 1)) AS huge
FROM nasty
UNION ALL
SELECT i, 't' || i, TIMESTAMPTZ '2026-01-01 00:00:00+00' + to_microseconds(i), true, 1, 2, 0.5,
       i / 7, (i * 0.000001)::DECIMAL(20,6),
       DATE '2026-01-01', TIME '00:00:00', TIMESTAMP '2026-01-01',
       NULL, NULL, INTERVAL '0 seconds', i
FROM range(100, 30000) AS r(i);
)sql",
              block("COPY Protocol"), "large_dataset",
              // The two types that the CSV writer and the CSV reader write differently.
              "SELECT * REPLACE ('\\x' || hex(y) AS y) FROM source_data",
              "n, t, ts, b, i2, i4, f4, f8, num, d, tm, tz, u, y, iv, huge");
}

TEST_F(Specification, JsonColumnsHoldTheSameJson) {
  create_table("json_data", "(id bigint, data json, metadata jsonb)");
  expect_rows(std::string(kNastyTexts) + R"sql(
CREATE TABLE events AS
SELECT n AS id, {'text': t, 'at': ts, 'n': n} AS event_data,
       CASE WHEN n % 3 <> 0 THEN MAP {'key': coalesce(t, ''), 'ключ': 'значение'} END AS metadata
FROM nasty;
)sql",
              block("JSON/JSONB Columns"), "json_data",
              "SELECT id, to_json(event_data), to_json(metadata) FROM events", "id, data, metadata",
              "id, data::text, metadata");
}

TEST_F(Specification, ArrayTypesHoldTheSameElements) {
  create_table("array_data", "(user_id bigint, tags text[], scores double precision[])");
  expect_rows(std::string(kNastyTexts) + R"sql(
CREATE TABLE user_data AS
SELECT i % 400 AS user_id, (SELECT t FROM nasty WHERE n = i % 13) AS tag,
       CASE WHEN i % 11 <> 0 THEN i / 7 END AS score FROM range(6000) AS r(i);
CREATE MACRO element(v) AS
  coalesce('"' || replace(replace(v::VARCHAR, '\', '\\'), '"', '\"') || '"', 'NULL');
CREATE MACRO pg_array(l) AS '{' || array_to_string([element(v) FOR v IN l], ',') || '}';
)sql",
              block("Array Types"), "array_data",
              "SELECT user_id, pg_array(ARRAY_AGG(tag)), pg_array(ARRAY_AGG(score)) FROM user_data "
              "GROUP BY user_id",
              "user_id, tags, scores",
              // The order within a group is the engine's choice, each time it runs the query.
              "user_id, (SELECT array_agg(v ORDER BY v) FROM unnest(tags) AS x(v)), "
              "(SELECT array_agg(v ORDER BY v) FROM unnest(scores) AS x(v))");
}

TEST_F(Specification, CompositeTypesHoldTheSameAttributes) {
  analytics_server().sql(
      "DROP TYPE IF EXISTS address, point_2d CASCADE;"
      "CREATE TYPE address AS (street text, city text, state text, zip text);"
      "CREATE TYPE point_2d AS (lat double precision, lon double precision)",
      "analytics");
  create_table("composite_data", "(id bigint, address address, coordinates point_2d)");
  expect_rows(std::string(kNastyTexts) + R"sql(
CREATE TABLE locations AS
SELECT n AS id, t AS street, 'Città "di" \ ' || n AS city,
       CASE WHEN n <> 4 THEN 'C,A)' END AS state,
       '' AS zip, n / 7 AS lat, CASE WHEN n <> 5 THEN -n / 3 END AS lon FROM nasty;
CREATE MACRO attribute(v) AS
  coalesce('"' || replace(replace(v::VARCHAR, '\', '\\'), '"', '""') || '"', '');
)sql",
              block("Composite Types"), "composite_data",
              "SELECT id, '(' || concat_ws(',', attribute(street), attribute(city), "
              "attribute(state), attribute(zip)) || ')', '(' || lat || ',' || "
              "coalesce(lon::VARCHAR, '') || ')' FROM locations",
              "id, address, coordinates");
  EXPECT_EQ(analytics_server().scalar(
                "SELECT (address).city || (coordinates).lat FROM composite_data WHERE id = 7",
                "analytics"),
            "Città \"di\" \\ 71");
}

TEST_F(Specification, BatchInsertsSendAtLeastFiveThousandRowsAtOnce) {
  create_table("metrics", "(name text, value double precision)");
  const auto run = pgsink_input(
      block("Batch Inserts") +
          "INSERT INTO pg_batch SELECT 'm' || i AS name, i / 2 AS value FROM range(12000) AS r(i);"
          "SELECT batches_sent FROM system.postgresql_sink_metrics",
      {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, MatchesRegex("batches_sent\n[1-3]\n"));
  EXPECT_EQ(
      analytics_server().scalar("SELECT count(*) || ' ' || sum(value) FROM metrics", "analytics"),
      "12000 35997000");
}

TEST_F(Specification, DeadLetterQueueTakesEachRowToOneOfTwoTargets) {
  create_table("events", "(data jsonb, is_valid boolean)");
  create_table("errors", "(data text, error_type text, error_time timestamptz)");
  const std::string sources = R"sql(
CREATE TABLE source_data AS SELECT CASE WHEN i % 10 = 3 THEN '{"broken": ' || i
  ELSE to_json({'id': i})::VARCHAR END AS data FROM range(10000) AS r(i);
CREATE MACRO validate_record(data) AS json_valid(data);
)sql";
  const auto run =
      pgsink_input(sources + connection("error_log", "errors") + block("Dead Letter Queue"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  auto& server = analytics_server();
  EXPECT_EQ(server.scalar("SELECT count(*) || ' ' || sum((data->>'id')::int) || ' ' || "
                          "bool_and(is_valid) FROM events",
                          "analytics"),
            "9000 44997000 true");
  EXPECT_EQ(server.scalar("SELECT count(*) || ' ' || count(DISTINCT data) || ' ' || "
                          "min(error_type) || ' ' || bool_and(error_time > now() - interval "
                          "'1 minute') FROM errors WHERE data LIKE '{\"broken\": %'",
                          "analytics"),
            "1000 1000 validation_failed true");
}

TEST_F(Specification, TransactionalWritesCommitEveryHundredRows) {
  create_table("financial_transactions",
               "(transaction_id bigint, account_id int, amount numeric(18,2), balance "
               "numeric(18,2), timestamp timestamptz)");
  expect_rows(R"sql(
CREATE TABLE transactions AS
SELECT i AS transaction_id, (i % 10)::INTEGER AS account_id,
       (i * 0.01 - 5)::DECIMAL(18,2) AS amount,
       CASE WHEN i % 9 <> 0 THEN (i * 100)::DECIMAL(18,2) END AS balance,
       TIMESTAMPTZ '2026-01-01 00:00:00.5+00' + to_seconds(i) AS timestamp, i % 4 <> 0 AS validated
FROM range(1400) AS r(i);
)sql",
              block("Transactional Writes"), "financial_transactions",
              "SELECT * EXCLUDE (validated) FROM transactions WHERE validated",
              "transaction_id, account_id, amount, balance, timestamp");
  // 1,050 rows in the source's order: ten transactions of 100 and one of 50.
  const auto transactions = analytics_server().sql(
      "SELECT count(*) FROM financial_transactions GROUP BY xmin::text ORDER BY "
      "min(transaction_id)",
      "analytics");
  ASSERT_EQ(transactions.size(), 11U);
  for (size_t i = 0; i < 10; ++i) EXPECT_EQ(transactions[i][0], "100");
  EXPECT_EQ(transactions[10][0], "50");
}

/// The rows of a table on the server as text, in the order of its first column.
std::string rows_of(const std::string& table) {
  return analytics_server().scalar(
      "SELECT string_agg(r::text, ' ' ORDER BY 1) FROM (SELECT * FROM " + table +
          " ORDER BY 1) AS r",
      "analytics");
}

TEST_F(Specification, UpsertModeAddsUsersAndUpdatesTheColumnsNamed) {
  create_table("users",
               "(user_id bigint PRIMARY KEY, username text, last_seen timestamptz, "
               "activity_count int)");
  analytics_server().sql(
      "INSERT INTO users VALUES (1, 'kept', '2000-01-01', 5), (9, 'other', "
      "'2000-01-01', 1)",
      "analytics");
  const auto run = pgsink_input(
      "CREATE TABLE user_activity AS SELECT * FROM (VALUES (1, 'renamed', 6), (2, 'new', 0), "
      "(2, 'newer', 41)) AS v(user_id, username, activity_count);" +
      block("UPSERT Mode (INSERT ON CONFLICT)"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  analytics_server().sql(
      "ALTER TABLE users ADD fresh boolean; UPDATE users SET fresh = last_seen "
      "> now() - interval '1 hour'; ALTER TABLE users DROP last_seen",
      "analytics");
  // Row by row: the first row of user 2 inserts, the second updates the columns named alone.
  EXPECT_EQ(rows_of("users"), "(1,kept,7,t) (2,new,42,t) (9,other,1,f)");
}

TEST_F(Specification, UpdateModeSetsPricesOfProductsThatAreThere) {
  create_table("products",
               "(product_id int PRIMARY KEY, name text, price numeric(10,2), "
               "updated_at timestamptz)");
  analytics_server().sql("INSERT INTO products VALUES (1, 'bolt', 1), (2, 'nut', 2)", "analytics");
  const auto run = pgsink_input(
      "CREATE TABLE price_changes AS SELECT * FROM (VALUES (2, 2.50), (3, 9.99)) AS v(product_id, "
      "new_price);" +
      block("UPDATE Mode"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  analytics_server().sql("ALTER TABLE products DROP updated_at", "analytics");
  EXPECT_EQ(rows_of("products"), "(1,bolt,1.00) (2,nut,2.50)");
}

TEST_F(Specification, DeleteModeTakesTheSessionsAway) {
  create_table("expired_sessions", "(session_id text PRIMARY KEY, note int)");
  analytics_server().sql("INSERT INTO expired_sessions VALUES ('a', 1), ('b', 2), ('c', 3)",
                         "analytics");
  const auto run = pgsink_input(
      "CREATE TABLE sessions AS SELECT * FROM (VALUES ('a', TIMESTAMPTZ '2020-01-01'), "
      "('c', now()), ('zzz', TIMESTAMPTZ '2020-01-01')) AS v(session_id, expired_at);" +
      block("DELETE Mode"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(rows_of("expired_sessions"), "(b,2) (c,3)");
}

TEST_F(Specification, TwoPhaseCommitWritesAllAndLeavesNothingInDoubt) {
  create_table("critical_data", "(id bigint PRIMARY KEY, value text)");
  const std::string script =
      folder_.write("two_phase.sql", block("Two-Phase Commit") +
                                         "INSERT INTO pg_2pc SELECT i AS id, 'v' || i AS value "
                                         "FROM range(50000) AS r(i);");
  const auto run = pgsink({"-f", script});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("50,000 rows"));
  auto& server = analytics_server();
  const auto scalar = [&](const std::string& text) { return server.scalar(text, "analytics"); };
  EXPECT_EQ(scalar("SELECT count(*) || ' ' || sum(id) FROM critical_data"), "50000 1249975000");
  EXPECT_EQ(scalar("SELECT count(DISTINCT xmin::text) FROM critical_data"), "1");
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts"), "0");
  EXPECT_THAT(scalar("SELECT gid_prefixes[1] FROM pgsink_writers"), HasSubstr("laminar_"));

  // A pipeline that fails at its last row leaves nothing.
  const auto failed = pgsink_input(block("Two-Phase Commit") +
                                   "INSERT INTO pg_2pc SELECT i AS id, 'v' || i AS value FROM "
                                   "range(50000, 90000) AS r(i) UNION ALL SELECT 7, 'twice';");
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_THAT(failed.err, HasSubstr("23505"));
  EXPECT_THAT(failed.err, AllOf(HasSubstr(". 0 rows are committed"),
                                HasSubstr("; 40,001 rows of the query were read")));
  EXPECT_EQ(scalar("SELECT count(*) FROM critical_data"), "50000");
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts"), "0");
  server.sql("DROP TABLE pgsink_writers, pgsink_decisions", "analytics");
}

TEST_F(Specification, ParallelWritesUseTenSessions) {
  create_table("large_table", "(id bigint, value text, writer int DEFAULT pg_backend_pid())");
  const auto run = pgsink_input(
      block("Parallel Writes") +
      "INSERT INTO pg_parallel SELECT i AS id, 'v' || i AS value FROM range(100000) AS r(i);");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(analytics_server().scalar(
                "SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || sum(id) || ' ' || "
                "count(DISTINCT writer) FROM large_table",
                "analytics"),
            "100000 100000 4999950000 10");
}

TEST_F(Specification, StatementsOfAPooledConnectionUseItsSessions) {
  create_table("high_volume", "(id bigint, writer int DEFAULT pg_backend_pid())");
  const std::string insert = "INSERT INTO pg_pooled SELECT i AS id FROM range(1000) AS r(i);";
  const auto run = pgsink_input(block("Connection Pooling") + insert + insert + insert);
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(analytics_server().scalar(
                "SELECT count(*) || ' ' || count(DISTINCT writer) FROM high_volume", "analytics"),
            "3000 1");
  EXPECT_EQ(analytics_server().scalar("SELECT count(*) FROM pg_stat_activity WHERE "
                                      "application_name = 'pgsink/pg_pooled'"),
            "0");
}

TEST_F(Specification, PreparedStatementsAreKeptByTheConnection) {
  create_table("metrics", "(name text PRIMARY KEY, value int)");
  const auto run = pgsink_input(
      block("Prepared Statements") +
      "INSERT INTO pg_prepared SELECT 'm' || i AS name, i AS value FROM range(2000) AS r(i);");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(
      analytics_server().scalar("SELECT count(*) || ' ' || sum(value) FROM metrics", "analytics"),
      "2000 1999000");
}

TEST_F(Specification, RetriesWhatItLists) {
  create_table("events", "(id bigint)");
  analytics_server().sql(
      "DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; GRANT ALL ON tries TO \"user\";"
      "CREATE OR REPLACE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF nextval('tries') = 1 THEN RAISE SQLSTATE '40P01'; END IF; RETURN NEW; END $$;"
      "CREATE TRIGGER fail_once BEFORE INSERT ON events EXECUTE FUNCTION fail_once()",
      "analytics");
  const auto run =
      pgsink_input(block("Retry Configuration") + "INSERT INTO pg_retry VALUES (1), (2)");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.err, HasSubstr("1 batch retried"));
  EXPECT_EQ(rows_of("events"), "(1) (2)");
}

TEST_F(Specification, TriggersFireAlways) {
  create_table("audit_events", "(id bigint, note text)");
  analytics_server().sql(
      "CREATE OR REPLACE FUNCTION stamp() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN NEW.note := NEW.note || ' by ' || TG_NAME; RETURN NEW; END $$;"
      "CREATE TRIGGER auditor BEFORE INSERT ON audit_events FOR EACH ROW EXECUTE FUNCTION stamp()",
      "analytics");
  const auto run =
      pgsink_input(block("Triggers and Rules") + "INSERT INTO pg_triggers VALUES (1, 'written')");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(rows_of("audit_events"), "(1,\"written by auditor\")");
}

TEST_F(Specification, ForeignTableTakesTheRowsToItsServer) {
  auto& server = analytics_server();
  create_table("far_away", "(id bigint, name text)");
  server.sql(
      "CREATE EXTENSION IF NOT EXISTS postgres_fdw;"
      "DROP SERVER IF EXISTS far CASCADE;"
      "CREATE SERVER far FOREIGN DATA WRAPPER postgres_fdw OPTIONS (host '127.0.0.1', port '" +
          std::to_string(server.port()) +
          "', dbname 'analytics');"
          "CREATE USER MAPPING FOR \"user\" SERVER far OPTIONS (user 'user', password "
          "'s3cret''pw');"
          "CREATE FOREIGN TABLE foreign_table (id bigint, name text) SERVER far "
          "OPTIONS (table_name 'far_away'); GRANT ALL ON foreign_table TO \"user\"",
      "analytics");
  const auto run = pgsink_input(block("Foreign Data Wrappers") +
                                "INSERT INTO pg_fdw VALUES (1, 'one'), (2, 'two')");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(rows_of("far_away"), "(1,one) (2,two)");
}

TEST_F(Specification, RowLevelSecurityLetsOnlyTheTenantsRowsIn) {
  auto& server = analytics_server();
  create_table("user_data", "(tenant text, value int, writer text DEFAULT current_user)");
  server.create_role("app_user", "PASSWORD 's3cret''pw' NOINHERIT");
  server.create_role("data_writer");
  server.sql(
      "GRANT data_writer TO app_user; GRANT INSERT, SELECT ON user_data TO data_writer;"
      "ALTER TABLE user_data ENABLE ROW LEVEL SECURITY;"
      "CREATE POLICY own ON user_data USING (tenant = current_setting('app.current_tenant'))",
      "analytics");
  const std::string connection = block("Row-Level Security");
  const auto allowed =
      pgsink_input(connection + "INSERT INTO pg_rls SELECT 'tenant_123' AS tenant, 1 AS value;");
  ASSERT_EQ(allowed.exit_code, 0) << allowed.err;
  const auto refused =
      pgsink_input(connection + "INSERT INTO pg_rls SELECT 'tenant_999' AS tenant, 2 AS value;");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("row-level security policy"));
  EXPECT_EQ(rows_of("user_data"), "(tenant_123,1,data_writer)");
}

TEST_F(Specification, TlsConnectionIsEncryptedWithTheClientsCertificate) {
  auto& server = analytics_server();
  CertificateSpec spec;
  spec.file = "spec_client";
  spec.common_name = "user";
  const KeyPair client = server.certificates().issue_for_client(spec);
  const auto copy = [](const std::string& from, const std::string& to) {
    std::filesystem::copy_file(from, to, std::filesystem::copy_options::overwrite_existing);
  };
  copy(client.certificate, "/certs/client-cert.pem");
  copy(client.key, "/certs/client-key.pem");
  std::filesystem::permissions("/certs/client-key.pem", std::filesystem::perms(0600));
  copy(server.certificates().root, "/certs/ca-cert.pem");
  server.set_hba({"hostssl all \"user\" all scram-sha-256 clientcert=verify-full"});
  server.sql(
      "DROP FUNCTION IF EXISTS tls_now CASCADE; CREATE FUNCTION tls_now() RETURNS text "
      "SECURITY DEFINER LANGUAGE sql AS $$ SELECT ssl || ' ' || client_dn FROM pg_stat_ssl "
      "WHERE pid = pg_backend_pid() $$",
      "analytics");
  create_table("secure_data", "(id bigint, payload text, seen text DEFAULT tls_now())");
  expect_rows(
      kNastyTexts,
      block("SSL/TLS Connection") + "INSERT INTO pg_ssl SELECT n AS id, t AS payload FROM nasty",
      "secure_data", "SELECT n, t FROM nasty", "id, payload");
  EXPECT_EQ(server.scalar("SELECT string_agg(DISTINCT seen, ';') FROM secure_data", "analytics"),
            "true /CN=user");

  // An authority that signed nothing: no connection, whatever else fits.
  copy(server.certificates().other_root, "/certs/ca-cert.pem");
  const auto refused =
      pgsink_input(block("SSL/TLS Connection") + "INSERT INTO pg_ssl SELECT 1 AS id");
  EXPECT_EQ(refused.exit_code, 1);
  EXPECT_THAT(refused.err, HasSubstr("PGS-2003"));
  server.set_hba({"host all all all scram-sha-256"});
}

}  // namespace
}  // namespace pgsink::test
