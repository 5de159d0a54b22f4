// What a sink makes for downstream consumers: publication, slot, origin; and what it says where it
// cannot.

#include "pgsink/replication/publication.h"

#include <thread>

#include <pgsink/batch_of.h>
#include <pgsink/ddl.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "ddl/ddl_support.h"
#include "pgsink/client/env.h"
#include "pgsink/options/server.h"
#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::PostgresServer;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;

struct Item {
  int64_t id;
  std::string name;
};

RecordBatch items(std::vector<Item> rows) {
  return batch_of(std::move(rows), column("id", &Item::id), column("name", &Item::name));
}

class PublicationTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = PostgresServer::start({.settings = {{"wal_level", "logical"},
                                                  {"max_replication_slots", "6"},
                                                  {"max_prepared_transactions", "20"}}});
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override { use(*server_); }
  void TearDown() override {
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  }
  void use(PostgresServer& server) {
    database_ = server.create_database("published");
    options_.connection_name = "test";
    options_.host = server.socket_dir();
    options_.port = std::to_string(server.port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.max_retries = 3;
    options_.retry_backoff_ms = 50;
    server.sql("CREATE TABLE t (id bigint PRIMARY KEY, name text)", database_);
  }

  /// When the server has noticed that the sinks, which had them in use, have hung up.
  void drop_origins() {
    sql("SET statement_timeout TO '30s'; DO $$ BEGIN WHILE EXISTS (SELECT FROM pg_stat_activity "
        "WHERE application_name = 'pgsink/test' AND datname = current_database()) LOOP PERFORM "
        "pg_sleep(0.005), pg_stat_clear_snapshot(); END LOOP; END $$; SELECT "
        "pg_replication_origin_drop(roname) FROM pg_replication_origin");
  }
  void sql(const std::string& text) { server_->sql(text, database_); }
  std::string scalar(const std::string& text) { return server_->scalar(text, database_); }
  void publish() {
    options_.publication = "pub";
    options_.replication_slot = "slot";
  }

  Result<std::unique_ptr<Sink>> open() { return Sink::open(options_, items({}).schema()); }
  void write(std::vector<Item> rows) {
    auto sink = open();
    ASSERT_TRUE(sink) << sink.error().to_string();
    ASSERT_TRUE((*sink)->write(items(std::move(rows))));
    const Status closed = (*sink)->close();
    ASSERT_TRUE(closed) << closed.error().to_string();
  }
  /// Of opening, and of test_connection(), which must find the same fault.
  Error open_error() {
    const auto sink = open();
    const Status tested = test_connection(options_);
    EXPECT_FALSE(tested);
    EXPECT_FALSE(sink);
    if (sink || tested) return {};
    EXPECT_EQ(sink.error().message, tested.error().message);
    return sink.error();
  }
  /// The types of the messages that the slot has for a consumer of the publication.
  std::string messages(const std::string& slot, const std::string& publication) {
    // Before 15 there is also a begin and a commit of each transaction without a change.
    return scalar(
        "SELECT regexp_replace(coalesce(string_agg(chr(get_byte(data, 0)), ''), ''), 'BO?C', '', "
        "'g') FROM pg_logical_slot_peek_binary_changes('" +
        slot + "', NULL, NULL, 'proto_version', '1', 'publication_names', '" + publication + "')");
  }

  static std::unique_ptr<PostgresServer> server_;
  std::string database_;
  SinkOptions options_;
};

std::unique_ptr<PostgresServer> PublicationTest::server_;

TEST_F(PublicationTest, TheSlotShowsEveryRowThatTheSinkWrites) {
  publish();
  write({{1, "a"}, {2, "b"}});
  EXPECT_EQ(messages("slot", "pub"), "BRIIC");
  options_.write_mode = WriteMode::kUpsert;
  write({{1, "c"}, {3, "d"}});
  EXPECT_EQ(messages("slot", "pub"), "BRIICBUIC");
  EXPECT_EQ(scalar("SELECT plugin || ' ' || database FROM pg_replication_slots"),
            "pgoutput " + database_);
}

TEST_F(PublicationTest, TheSpecificationsBlockDoesWhatItsNameSays) {
  sql("CREATE TABLE replicated_table (id bigint PRIMARY KEY, name text)");
  const std::string block = R"(CREATE CONNECTION pg_logical TO postgresql (
    host = 'localhost',
    database = 'analytics',
    username = 'user',
    password = '${secret:password}',
    table = 'replicated_table',
    type = 'sink',
    replication_slot = 'laminar_slot',
    publication = 'laminar_pub'
);)";
  const auto parsed = parse_statement(split_script(block)[0]);
  ASSERT_TRUE(parsed);
  auto bound = bind_connection(std::get<CreateConnection>(*parsed),
                               ddl_test::substitution({{"secret:password", "hunter2"}}));
  ASSERT_TRUE(bound);
  bound->host = options_.host;  // Where the tests' server is.
  bound->port = options_.port;
  bound->database = database_;
  bound->username = "postgres";
  options_ = *bound;
  write({{1, "a"}});
  EXPECT_EQ(messages("laminar_slot", "laminar_pub"), "BRIC");
}

TEST_F(PublicationTest, TestConnectionCreatesNothing) {
  publish();
  const Status tested = test_connection(options_);
  EXPECT_TRUE(tested) << tested.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication"), "0");
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_replication_slots"), "0");
}

TEST_F(PublicationTest, AddsTheTableToAPublicationThatIsThere) {
  sql("CREATE TABLE other (id int); CREATE PUBLICATION pub FOR TABLE other");
  publish();
  write({{1, "a"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication_tables"), "2");
  EXPECT_EQ(messages("slot", "pub"), "BRIC");
}

TEST_F(PublicationTest, LeavesPublicationsAloneThatCoverTheTable) {
  sql("CREATE PUBLICATION pub FOR ALL TABLES");
  publish();
  write({{1, "a"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication_rel"), "0");
  EXPECT_EQ(messages("slot", "pub"), "BRIC");
  if (server_->version() < 150000) return;
  sql("CREATE PUBLICATION whole_schema FOR TABLES IN SCHEMA public");
  options_.publication = "whole_schema";
  write({{2, "b"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication_rel"), "0");
}

TEST_F(PublicationTest, PartitionsAreShownAsTheirTable) {
  sql("DROP TABLE t; CREATE TABLE t (id bigint PRIMARY KEY, name text) PARTITION BY RANGE (id);"
      "CREATE TABLE t_low PARTITION OF t FOR VALUES FROM (0) TO (100)");
  publish();
  write({{1, "a"}});
  EXPECT_EQ(scalar("SELECT pubviaroot FROM pg_publication"), "t");
  EXPECT_EQ(messages("slot", "pub"), "BRRIC");
  // A leaf of a published table is published.
  options_.table = "t_low";
  write({{2, "b"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_publication_rel"), "1");
}

TEST_F(PublicationTest, ManySinksAtOnceCreateItOnce) {
  publish();
  std::vector<std::thread> threads;
  std::vector<std::string> errors(6);
  for (size_t i = 0; i < errors.size(); ++i) {
    threads.emplace_back([&, i] {
      const auto sink = Sink::open(options_, items({}).schema());
      if (!sink) errors[i] = sink.error().to_string();
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(errors, testing::Each(""));
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_replication_slots"), "1");
}

// ---- what cannot be -----------------------------------------------------------------------------

TEST_F(PublicationTest, TooLittleLogIsAnErrorThatSaysWhatToDo) {
  const auto plain = PostgresServer::start({.settings = {{"wal_level", "replica"}}});
  use(*plain);
  publish();
  const Error error = open_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message,
              AllOf(HasSubstr("connection \"test\": publication: "),
                    HasSubstr("needs wal_level = logical, and the server has replica"),
                    HasSubstr("ALTER SYSTEM")));
  EXPECT_EQ(plain->scalar("SELECT count(*) FROM pg_publication", database_), "0");
  use(*server_);
}

TEST_F(PublicationTest, WhoMayNotIsToldWhatIsMissing) {
  server_->create_role("poor");
  sql("GRANT INSERT, SELECT ON t TO poor; REVOKE CREATE ON DATABASE " + database_ + " FROM public");
  options_.username = "poor";
  publish();
  Error error = open_error();
  EXPECT_EQ(error.code, Errc::kPrivilege);
  EXPECT_THAT(error.message, AllOf(HasSubstr("publication \"pub\" is missing"),
                                   HasSubstr("owner of table public.t"),
                                   HasSubstr("CREATE on database " + database_)));
  sql("CREATE PUBLICATION pub");
  EXPECT_THAT(open_error().message,
              AllOf(HasSubstr("does not hold table public.t"), HasSubstr("own the publication")));
  sql("ALTER PUBLICATION pub ADD TABLE t");
  error = open_error();
  EXPECT_EQ(error.code, Errc::kPrivilege);
  EXPECT_THAT(error.message, HasSubstr("ALTER ROLE … REPLICATION"));
  sql("ALTER ROLE poor REPLICATION");
  write({{1, "a"}});
  EXPECT_EQ(messages("slot", "pub"), "BRIC");

  options_.replication_origin = "marked";
  error = open_error();
  EXPECT_EQ(error.code, Errc::kPrivilege);
  EXPECT_THAT(error.message, HasSubstr("GRANT EXECUTE ON FUNCTION pg_replication_origin_create"));
  sql("GRANT EXECUTE ON FUNCTION pg_replication_origin_create(text),"
      " pg_replication_origin_session_setup(text) TO poor");
  write({{2, "b"}});
  EXPECT_EQ(messages("slot", "pub"), "BRICBOIC");
  drop_origins();
}

TEST_F(PublicationTest, AnotherKindOfSlotIsNotTaken) {
  publish();
  sql("SELECT pg_create_physical_replication_slot('slot')");
  EXPECT_THAT(open_error().message, HasSubstr("replication_slot \"slot\" is a physical slot"));
  sql("SELECT pg_drop_replication_slot('slot')");
  sql("SELECT pg_create_logical_replication_slot('slot', 'test_decoding')");
  EXPECT_THAT(open_error().message, HasSubstr("has the plugin test_decoding, not pgoutput"));
  sql("SELECT pg_drop_replication_slot('slot')");
  server_->sql("SELECT pg_create_logical_replication_slot('slot', 'pgoutput')");
  const Error error = open_error();
  EXPECT_EQ(error.code, Errc::kReplication);
  EXPECT_THAT(error.message, HasSubstr("belongs to database postgres"));
  server_->sql("SELECT pg_drop_replication_slot('slot')");
}

TEST_F(PublicationTest, NoFreeSlotIsAnErrorThatSaysWhatToDo) {
  publish();
  for (int i = 0; i < 6; ++i) {
    sql("SELECT pg_create_physical_replication_slot('taken" + std::to_string(i) + "')");
  }
  const auto sink = open();
  ASSERT_FALSE(sink);
  EXPECT_EQ(sink.error().sqlstate, "53400");
  EXPECT_THAT(sink.error().message,
              AllOf(HasSubstr("replication_slot \"slot\": "), HasSubstr("max_replication_slots")));
}

TEST_F(PublicationTest, TablesWithoutLogOrIdentityAreRefused) {
  publish();
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  sql("DROP TABLE t; CREATE TABLE t (id bigint NOT NULL, name text);"
      "CREATE UNIQUE INDEX ON t (id)");
  EXPECT_THAT(open_error().message, HasSubstr("has no replica identity"));
  sql("ALTER TABLE t REPLICA IDENTITY FULL");
  write({{1, "a"}});
  sql("DROP TABLE t; CREATE UNLOGGED TABLE t (id bigint PRIMARY KEY, name text)");
  EXPECT_THAT(open_error().message, HasSubstr("cannot be published"));
}

TEST_F(PublicationTest, ASlotNameThatTheServerWouldRefuseIsAFaultOfTheOption) {
  publish();
  options_.replication_slot = "Slot-1";
  const auto faults = check_options(options_);
  ASSERT_EQ(faults.size(), 1U);
  EXPECT_EQ(faults[0].code, Errc::kOptionValue);
}

// ---- origins ------------------------------------------------------------------------------------

class OriginTest : public PublicationTest {
 protected:
  void SetUp() override {
    PublicationTest::SetUp();
    publish();
    options_.replication_origin = "mark";
    sql("SELECT pg_create_logical_replication_slot('local', 'test_decoding')");
  }
  void TearDown() override {
    PublicationTest::TearDown();
    drop_origins();
  }
  /// Rows that a subscription WITH (origin = none) would get.
  std::string unmarked() {
    return scalar(
        "SELECT count(*) FROM pg_logical_slot_peek_changes('local', NULL, NULL, 'only-local', "
        "'true') WHERE data LIKE 'table public.t:%'");
  }
  std::string origins() {
    return scalar(
        "SELECT coalesce(string_agg(roname, ' ' ORDER BY roname), '') "
        "FROM pg_replication_origin");
  }
};

TEST_F(OriginTest, MarksWhatTheSinkWritesAndNothingElse) {
  write({{1, "a"}});
  options_.write_mode = WriteMode::kUpsert;
  write({{1, "b"}, {2, "c"}});
  EXPECT_EQ(unmarked(), "0");
  EXPECT_EQ(messages("slot", "pub"), "BORICBOUIC");
  sql("INSERT INTO t VALUES (3, 'by hand')");
  EXPECT_EQ(unmarked(), "1");
}

TEST_F(OriginTest, EachLaneHasItsOwn) {
  options_.parallelism = 3;
  std::vector<Item> rows;
  for (int64_t i = 0; i < 5000; ++i) rows.push_back({i, "x"});
  write(std::move(rows));
  EXPECT_EQ(origins(), "mark mark_2 mark_3");
  EXPECT_EQ(unmarked(), "0");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "5000");
}

TEST_F(OriginTest, RowsOfPreparedTransactionsAreMarked) {
  options_.use_2pc = true;
  write({{1, "a"}});
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "1");
  EXPECT_EQ(unmarked(), "0");
}

TEST_F(OriginTest, ALaneThatReconnectsMarksAgain) {
  auto sink = open();
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(items({{1, "a"}})));
  ASSERT_TRUE((*sink)->flush());
  for (const pid_t pid : server_->backend_pids(database_)) {
    sql("SELECT pg_terminate_backend(" + std::to_string(pid) + ")");
  }
  ASSERT_TRUE((*sink)->write(items({{2, "b"}})));
  const Status flushed = (*sink)->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_EQ(unmarked(), "0");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "2");
}

TEST_F(OriginTest, AnOwnSessionThatLivesOnIsFenced) {
  OsEnv os;
  Env& env = os.env();
  const auto connect = to_connect_options(options_, env.files);
  ASSERT_TRUE(connect);
  auto first = Connection::open(env, *connect);
  auto second = Connection::open(env, *connect);
  ASSERT_TRUE(first && second);
  const auto soon = [&] { return env.clock.now() + std::chrono::seconds(60); };
  ASSERT_TRUE(mark_session(**first, "mark", {}, soon()));
  // Somebody else's is not touched.
  const Status taken =
      mark_session(**second, "mark", {}, env.clock.now() + std::chrono::seconds(3));
  ASSERT_FALSE(taken);
  EXPECT_EQ(taken.error().sqlstate, "55006");
  EXPECT_THAT(taken.error().message, HasSubstr("give each sink its own name"));
  auto third = Connection::open(env, *connect);
  ASSERT_TRUE(third);
  const Status marked = mark_session(**third, "mark", (*first)->server().backend, soon());
  EXPECT_TRUE(marked) << marked.error().to_string();
  EXPECT_FALSE((*first)->query("SELECT 1", soon()));
}

}  // namespace
}  // namespace pgsink
