// The specification's blocks on partitions and logical replication, word for word: which partitions
// stand there afterwards, and what the slot delivers.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/shell_support.h"
#include "shell/specification.h"

namespace pgsink::test {
namespace {

using testing::HasSubstr;

std::string in_analytics(const std::string& query) {
  return analytics_server().scalar(query, "analytics");
}

TEST(SpecificationPartitions, DaysThatAreMissingAreCreated) {
  analytics_server().sql(
      "DROP TABLE IF EXISTS events; CREATE TABLE events (event_id bigint, event_type text,"
      " created_at timestamptz NOT NULL, data jsonb) PARTITION BY RANGE (created_at);"
      "ALTER TABLE events OWNER TO \"user\"",
      "analytics");
  const auto run = pgsink_input(
      "CREATE TABLE events AS SELECT i AS event_id, 'click' AS event_type,"
      " (CURRENT_DATE + (i % 3)::INT + INTERVAL 12 HOUR)::TIMESTAMPTZ AS created_at,"
      " '{\"n\": 1}'::JSON AS data FROM range(3000) AS r(i);" +
      block("Time-based Partitioning"));
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT count(*) FROM events"), "3000");
  EXPECT_EQ(in_analytics("SELECT count(*) || ' ' || bool_and(relname LIKE 'events_20%') FROM"
                         " pg_inherits JOIN pg_class ON oid = inhrelid"
                         " WHERE inhparent = 'events'::regclass"),
            "3 true");
  EXPECT_EQ(in_analytics("SELECT count(DISTINCT tableoid) FROM events"), "3");
  analytics_server().sql("DROP TABLE events", "analytics");
}

TEST(SpecificationPartitions, ListsAreComparedWithTheCatalog) {
  analytics_server().sql(
      "DROP TABLE IF EXISTS regional_data; CREATE TABLE regional_data (id bigint, region text)"
      " PARTITION BY LIST (region); CREATE TABLE regional_eu PARTITION OF regional_data"
      " FOR VALUES IN ('eu'); ALTER TABLE regional_data OWNER TO \"user\"",
      "analytics");
  const std::string connection = block("List Partitioning");
  const auto run =
      pgsink_input(connection + "INSERT INTO pg_list_partition SELECT 1 AS id, 'eu' AS region;");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT count(*) FROM regional_eu"), "1");
  // Without create_partitions a row that has none is rejected.
  const auto rejected =
      pgsink_input(connection + "INSERT INTO pg_list_partition SELECT 2 AS id, 'us' AS region;");
  EXPECT_EQ(rejected.exit_code, 1);
  EXPECT_THAT(rejected.err, HasSubstr("no partition of relation"));
  analytics_server().sql("ALTER TABLE regional_data RENAME COLUMN region TO area", "analytics");
  const auto other =
      pgsink_input(connection + "INSERT INTO pg_list_partition SELECT 3 AS id, 'eu' AS area;");
  EXPECT_EQ(other.exit_code, 1);
  EXPECT_THAT(other.err, HasSubstr("LIST (area)"));
  EXPECT_EQ(in_analytics("SELECT count(*) FROM regional_data"), "1");
}

TEST(SpecificationReplication, TheSlotDeliversWhatTheSinkWrites) {
  PostgresServer& server = analytics_server();
  create_table("replicated_table", "(id bigint PRIMARY KEY, name text)");
  server.sql("ALTER ROLE \"user\" REPLICATION; GRANT CREATE ON DATABASE analytics TO \"user\"",
             "analytics");
  const auto run = pgsink_input(block("Logical Replication") +
                                "INSERT INTO pg_logical SELECT i AS id, 'row ' || i AS name"
                                " FROM range(5) AS r(i);");
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(in_analytics("SELECT tablename FROM pg_publication_tables WHERE pubname ="
                         " 'laminar_pub'"),
            "replicated_table");
  EXPECT_EQ(in_analytics("SELECT plugin FROM pg_replication_slots WHERE slot_name ="
                         " 'laminar_slot'"),
            "pgoutput");
  EXPECT_EQ(in_analytics("SELECT count(*) FROM pg_logical_slot_peek_binary_changes("
                         "'laminar_slot', NULL, NULL, 'proto_version', '1', 'publication_names',"
                         " 'laminar_pub') WHERE get_byte(data, 0) = ascii('I')"),
            "5");
  server.sql(
      "SELECT pg_drop_replication_slot('laminar_slot'); DROP PUBLICATION laminar_pub;"
      "ALTER ROLE \"user\" NOREPLICATION",
      "analytics");
}

}  // namespace
}  // namespace pgsink::test
