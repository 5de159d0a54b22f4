// The tables of the schema `system`, the specification's own queries among them.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/engine/query_plan.h"
#include "shell/specification.h"

namespace pgsink::test {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class SystemTable : public testing::Test {
 protected:
  void SetUp() override {
    create_table("events",
                 "(event_id bigint PRIMARY KEY, user_id int, event_type text, timestamp "
                 "timestamptz, properties jsonb)");
  }

  const std::string fill_ =
      "INSERT INTO pg_insert SELECT i AS event_id, 'seen' AS event_type FROM range(2500) AS r(i);";
};

TEST_F(SystemTable, WriteMetricsAreTheSpecificationsQuery) {
  const std::string connection = block("INSERT Mode").substr(0, block("INSERT Mode").find(';') + 1);
  const auto run = pgsink_input(connection + fill_ + block("Write Metrics"), {"--format", "jsonl"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, MatchesRegex("\\{\"connection_name\":\"pg_insert\",\"rows_written\":2500,"
                                    "\"batches_sent\":[1-3],\"avg_batch_size\":[0-9.]+,"
                                    "\"avg_write_latency_ms\":[0-9.]+,\"failed_writes\":0,"
                                    "\"retry_count\":0,\"last_error\":null\\}\n"));
}

TEST_F(SystemTable, MetricsOfAFailureStayWhenItsPipelineIsGone) {
  // The command stops at the first failing statement: the failure is one that retrying mends.
  analytics_server().sql(
      "DROP SEQUENCE IF EXISTS tries; CREATE SEQUENCE tries; GRANT ALL ON tries TO \"user\";"
      "CREATE OR REPLACE FUNCTION fail_once() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
      " IF nextval('tries') = 1 THEN RAISE SQLSTATE '40P01'; END IF; RETURN NEW; END $$;"
      "CREATE TRIGGER fail_once BEFORE INSERT ON events EXECUTE FUNCTION fail_once()",
      "analytics");
  const auto run = pgsink_input(
      connection("kept", "events", "retry_backoff_ms = 10") +
          "INSERT INTO kept SELECT 1 AS event_id; INSERT INTO kept SELECT 2 AS event_id;"
          "SELECT rows_written, failed_writes, retry_count, last_error, "
          "last_error_time > now() - INTERVAL '1 minute' AS fresh "
          "FROM system.postgresql_sink_metrics;"
          "SELECT failures FROM system.postgresql_statements WHERE query LIKE 'INSERT%'",
      {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("2,1,1,"), HasSubstr("40P01"), HasSubstr(",true\n"),
                             HasSubstr("failures\n1\n")));
}

TEST_F(SystemTable, PoolStatsAreTheSpecificationsQuery) {
  const auto run =
      pgsink_input(connection("idle", "events") + connection("busy", "events") +
                       "INSERT INTO busy SELECT 1 AS event_id;" + block("Connection Pool Stats"),
                   {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out,
              AllOf(HasSubstr("connection_name,pool_size,active_connections,idle_connections,"
                              "waiting_requests,connection_wait_time_ms\n"),
                    HasSubstr("\nidle,4,0,0,0,0.0\n"), HasSubstr("busy,4,0,1,0,")));
}

TEST_F(SystemTable, APoolsConnectionIsUsedAgain) {
  const auto run = pgsink_input(
      connection("busy", "events") +
          "INSERT INTO busy SELECT 1 AS event_id; INSERT INTO busy SELECT 2 AS event_id;"
          "SELECT connections_opened, connections_broken, connections_reaped,"
          " connection_wait_time_ms > 0 AS waited, connection_wait_time_ms >="
          " connection_wait_time_max_ms AS adds FROM system.postgresql_pool_stats",
      {"--format", "csv"});
  EXPECT_THAT(run.out, HasSubstr("\n1,0,0,true,true\n")) << run.err;
}

TEST_F(SystemTable, ConnectionTestShowsTheColumnsOfTheTarget) {
  const auto run =
      pgsink_input(block("Basic Configuration") + block("Connection Test"), {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(
      run.out,
      HasSubstr("connection,schema,table,column,type,nullable,default,is_key,is_generated,ordinal\n"
                "postgres_sink,public,events,event_id,bigint,false,,true,false,1\n"
                "postgres_sink,public,events,user_id,integer,true,,false,false,2\n"
                "postgres_sink,public,events,event_type,text,true,,false,false,3\n"
                "postgres_sink,public,events,timestamp,timestamp with time zone,true,,false,false,4"
                "\npostgres_sink,public,events,properties,jsonb,true,,false,false,5\n"));
  EXPECT_THAT(run.out, HasSubstr("\nok\n"));
}

TEST_F(SystemTable, TablesTellDefaultsGeneratedColumnsAndTheKeysOfTheMode) {
  create_table("wide",
               "(a int GENERATED ALWAYS AS IDENTITY, b numeric(9,2) DEFAULT 1.5, c int GENERATED "
               "ALWAYS AS (1) STORED, gone int, d varchar(5)[] NOT NULL, PRIMARY KEY (a))");
  analytics_server().sql("ALTER TABLE wide DROP gone", "analytics");
  const auto run = pgsink_input(
      connection("keyed", "wide", "write_mode = 'upsert', conflict_columns = 'b'") +
          "SELECT \"column\" || ' ' || type || ' ' || coalesce(\"default\", '-') || ' ' || "
          "concat_ws(' ', nullable, is_key, is_generated, ordinal) AS r "
          "FROM system.postgresql_tables ORDER BY ordinal",
      {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_EQ(run.out,
            "r\na integer GENERATED ALWAYS AS IDENTITY false false false 1\n"
            "\"b numeric(9,2) 1.5 true true false 2\"\nc integer 1 true false true 3\n"
            "d character varying(5)[] - false false false 5\n");
}

TEST_F(SystemTable, TablesContactOnlyTheConnectionsAskedForByName) {
  const std::string both = connection("here", "events") +
                           "CREATE CONNECTION away TO postgresql (host = 'localhost', port = 1, "
                           "database = 'd', username = 'u', password = 'topsecret', table = 't');";
  const std::string query = "SELECT count(*) AS n FROM system.postgresql_tables";
  const auto narrow = pgsink_input(both + query + " WHERE \"ordinal\" > 0 AND connection = 'here'");
  EXPECT_EQ(narrow.exit_code, 0);
  EXPECT_EQ(narrow.err, "");
  const auto all = pgsink_input(both + query, {"--format", "csv"});
  EXPECT_EQ(all.exit_code, 0) << all.err;
  EXPECT_EQ(all.out, "n\n5\n");
  EXPECT_THAT(all.err, AllOf(HasSubstr("warning: "), HasSubstr("\"away\""), HasSubstr("PGS-2001"),
                             Not(HasSubstr("topsecret"))));
  const auto asked = pgsink_input(both + query + " WHERE connection = 'away'");
  EXPECT_EQ(asked.exit_code, 1);
  EXPECT_THAT(asked.err, AllOf(HasSubstr("error["), HasSubstr("\"away\""), HasSubstr("PGS-2001")));
  const auto missing =
      pgsink_input(connection("lost", "no_such_table") + query + " WHERE connection = 'lost'");
  EXPECT_EQ(missing.exit_code, 1);
  EXPECT_THAT(missing.err, HasSubstr("PGS-3001"));
}

TEST_F(SystemTable, QueryAnalysisIsTheSpecificationsQuery) {
  const auto run =
      pgsink_input(block("Basic Configuration") +
                       "INSERT INTO postgres_sink SELECT i AS event_id FROM range(2500) AS r(i);" +
                       block("Query Analysis"),
                   {"--format", "csv"});
  ASSERT_EQ(run.exit_code, 0) << run.err;
  EXPECT_THAT(run.out, AllOf(HasSubstr("query,calls,total_time,mean_time,max_time,rows\n"),
                             ContainsRegex("\nCOMMIT,[1-3],"), HasSubstr("BEGIN ISOLATION LEVEL")));
  const auto rows = pgsink_input(
      connection("slow", "events", "transaction_size = 1000") +
          "INSERT INTO slow SELECT i + 10000 AS event_id FROM range(2500) AS r(i);"
          "SELECT calls, rows, total_time >= max_time AND max_time >= mean_time AND mean_time > 0 "
          "AS sane, abs(total_time - mean_time * calls) < 0.001 AS adds FROM "
          "system.postgresql_statements WHERE query LIKE 'INSERT%'",
      {"--format", "csv"});
  EXPECT_EQ(rows.out, "calls,rows,sane,adds\n3,2500,true,true\n") << rows.err;
}

TEST_F(SystemTable, TimesOfStatementsHoldTheServersWork) {
  analytics_server().sql(
      "CREATE OR REPLACE FUNCTION nap() RETURNS trigger LANGUAGE plpgsql AS "
      "$$ BEGIN PERFORM pg_sleep(0.2); RETURN NEW; END $$;"
      "CREATE TRIGGER nap BEFORE INSERT ON events EXECUTE FUNCTION nap()",
      "analytics");
  for (const std::string more : {"use_copy = true", "write_mode = 'upsert', use_copy = true",
                                 "write_mode = 'upsert', use_copy = false",
                                 "write_mode = 'upsert', set_role = 'user', use_copy = false"}) {
    const auto run = pgsink_input(
        connection("napping", "events", more) +
            "INSERT INTO napping SELECT i AS event_id, 1 AS user_id FROM range(10) AS r(i);"
            "SELECT calls, rows, max_time >= 100 AS slept FROM "
            "system.postgresql_statements ORDER BY total_time DESC LIMIT 1;"
            "SELECT count(*) FROM system.postgresql_statements WHERE max_time >= 100",
        {"--format", "csv"});
    // An upsert into a table with a trigger goes row by row.
    const std::string calls = more.starts_with("write_mode") ? "\n10" : "\n1";
    EXPECT_THAT(run.out, AllOf(HasSubstr(calls + ",10,true\n"), HasSubstr(")\n1\n")))
        << more << run.out << run.err;
    analytics_server().sql("DELETE FROM events", "analytics");
  }
}

TEST(QueryPlan, ComparedTextsAreThoseThatEveryRowMustHave) {
  using shell::compared_texts;
  EXPECT_THAT(compared_texts("(connection = 'a')", "connection"), ElementsAre("a"));
  EXPECT_THAT(compared_texts("((n > 3) AND (connection = 'it''s'))", "connection"),
              ElementsAre("it's"));
  EXPECT_THAT(compared_texts("((connection = 'a') OR (connection = 'b'))", "connection"),
              ElementsAre());
  EXPECT_THAT(compared_texts("((connection = 'a AND b') AND (x = 'y'))", "connection"),
              ElementsAre("a AND b"));
  EXPECT_THAT(compared_texts("(NOT (connection = 'a'))", "connection"), ElementsAre());
  EXPECT_THAT(compared_texts("((connection = 'a') = (x = 'b'))", "connection"), ElementsAre());
  EXPECT_THAT(compared_texts("", "connection"), ElementsAre());
}

TEST(QueryPlan, ParsesOperatorsAndSurvivesWhatIsNoPlan) {
  const auto plan = shell::parse_plan(
      R"json([{"name":"FILTER","children":[{"name":"SEQ_SCAN ","children":[],"extra_info":)json"
      R"json({"Table":"t","Projections":["a","b"]}}],)json"
      R"json("extra_info":{"Expression":"(a > '\"')"}}])json");
  EXPECT_EQ(plan.name, "FILTER");
  EXPECT_EQ(plan.expression, "(a > '\"')");
  ASSERT_EQ(plan.children.size(), 1U);
  EXPECT_EQ(plan.children[0].name, "SEQ_SCAN");
  EXPECT_EQ(plan.children[0].table, "t");
  for (const std::string text :
       {"", "[", "[{", R"json([{"name")json", R"json([{"name":"A","children":[)json"}) {
    EXPECT_EQ(shell::parse_plan(text).name, "") << text;
  }
  EXPECT_EQ(shell::parse_plan("[" + std::string(100000, '[')).name, "");
}

}  // namespace
}  // namespace pgsink::test
