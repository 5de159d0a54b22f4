// PgBouncer in transaction mode between the sinks and the server: what holds there as without it,
// and what is refused.

#include <atomic>
#include <exception>
#include <memory>
#include <string>
#include <vector>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "delivery/failover_support.h"
#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/pgbouncer.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::PgBouncer;
using test::PostgresServer;
using test::StopMode;
using ::testing::HasSubstr;

// Fewer than writers: sessions go from hand to hand.
constexpr int kSessions = 4;
constexpr uint64_t kBatches = 200;

SinkOptions options_of(const PgBouncer& pooler) {
  SinkOptions options;
  options.connection_name = "test";
  options.host = pooler.socket_dir();
  options.port = std::to_string(pooler.port());
  options.database = "postgres";
  options.username = "postgres";
  options.table = "t";
  options.batch_size = test::kBatchRows;
  options.retry_backoff_ms = 50;
  options.max_retries = 200;
  return options;
}

// ---- deaths under load -------------------------------------------------------------------------

class PoolerFailover : public ::testing::Test {
 protected:
  void SetUp() override {
    primary_->sql("CREATE TABLE t (writer bigint, id bigint)");
    standby_ = primary_->start_standby();
    primary_->make_synchronous();
  }

  /// Not one sink is opened again: write_through() would fail.
  uint64_t write_through_a_failover() {
    return test::write_through(options_, kBatches, [this] {
      primary_->stop(StopMode::kImmediate);
      standby_->promote();
      pooler_.point_to(*standby_);
    });
  }

  const std::unique_ptr<PostgresServer> primary_ = PostgresServer::start();
  std::unique_ptr<PostgresServer> standby_;
  PgBouncer pooler_{*primary_, kSessions};
  SinkOptions options_ = options_of(pooler_);
};

TEST_F(PoolerFailover, ToASynchronousStandbyWritesEverythingOnce) {
  options_.delivery = Delivery::kExactlyOnce;
  write_through_a_failover();
  EXPECT_EQ(standby_->scalar("SELECT count(*) || ' ' || count(DISTINCT (writer, id)) FROM t"),
            "100000 100000");
}

TEST_F(PoolerFailover, ToASynchronousStandbyLosesNothingAtLeastOnce) {
  const uint64_t duplicates = write_through_a_failover();
  EXPECT_EQ(standby_->scalar("SELECT count(DISTINCT (writer, id)) FROM t"), "100000");
  EXPECT_LE(std::stoull(standby_->scalar("SELECT count(*) FROM t")), 100'000 + duplicates);
}

TEST_F(PoolerFailover, OfThePoolerItselfWritesEverythingOnce) {
  options_.delivery = Delivery::kExactlyOnce;
  test::write_through(options_, kBatches, [this] {
    pooler_.kill();
    pooler_.start();
  });
  EXPECT_EQ(primary_->scalar("SELECT count(*) || ' ' || count(DISTINCT (writer, id)) FROM t"),
            "100000 100000");
}

// ---- an answer that got lost, and a pooler that leads elsewhere ---------------------------------

/// A flight of plain rows through a pooler, whose transaction stays open until flush(); a proxy
/// before the pooler loses the answer.
class PoolerOutcome : public ::testing::Test {
 protected:
  struct Row {
    int64_t id = 0;
  };
  static constexpr int64_t kRows = 300;

  static RecordBatch rows(int64_t count = kRows) {
    std::vector<Row> made(static_cast<size_t>(count));
    for (int64_t i = 0; i < count; ++i) made[static_cast<size_t>(i)].id = i;
    return batch_of(std::move(made), column("id", &Row::id));
  }
  void SetUp() override {
    for (PostgresServer* server : {first_.get(), second_.get()}) {
      server->sql("CREATE TABLE t (id bigint)");
    }
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_.port());
    options_.ssl_mode = "disable";
    options_.batch_size = kRows;
    options_.transaction_size = 10 * kRows;
    options_.batch_timeout_ms = 600'000;
    auto sink = Sink::open(options_, rows(0).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    sink_ = std::move(*sink);
    // The server has said which transaction it is.
    proxy_.set_rule({.side = Side::kBackend, .type = 'D', .nth = 1'000'000});
    ASSERT_TRUE(sink_->write(rows()));
    ASSERT_TRUE(test::eventually([&] { return proxy_.seen() > 0; }));
  }
  /// "rows, different rows" of a server.
  static std::string found(PostgresServer& server) {
    return server.scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t");
  }

  using Side = test::WireProxy::Side;
  const std::unique_ptr<PostgresServer> first_ = PostgresServer::start();
  const std::unique_ptr<PostgresServer> second_ = PostgresServer::start();
  PgBouncer pooler_{*first_, kSessions};
  test::WireProxy proxy_{pooler_.socket_dir(), pooler_.port()};
  SinkOptions options_ = options_of(pooler_);
  std::unique_ptr<Sink> sink_;
};

TEST_F(PoolerOutcome, OfACommitIsKnownFromTheServerThatDidIt) {
  // What comes is the tag of COPY, then that of COMMIT.
  proxy_.set_rule({.side = Side::kBackend, .type = 'C', .nth = 2});
  const Status flushed = sink_->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_TRUE(proxy_.fired());
  EXPECT_EQ(found(*first_), "300 300");
  EXPECT_EQ(sink_->metrics().possible_duplicates, 0U);
}

// Servers count their transactions alike: the other one's of that number is somebody else's.
TEST_F(PoolerOutcome, IsNotTakenFromAnotherServer) {
  const std::string ours = first_->scalar("SELECT pg_snapshot_xmax(pg_current_snapshot())");
  while (std::stoull(second_->scalar("SELECT pg_current_xact_id()")) < std::stoull(ours) + 100) {
  }
  std::atomic<bool> moved = false;
  proxy_.call_before("pg_xact_status", [&] {
    try {
      pooler_.point_to(*second_);
      moved = true;
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
  });
  proxy_.set_rule({.side = Side::kFrontend, .type = 'Q', .nth = 1});  // COMMIT never arrives.
  const Status flushed = sink_->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_TRUE(moved) << "the sink did not ask";
  EXPECT_EQ(found(*first_), "0 0");
  EXPECT_EQ(found(*second_), "300 300");
  EXPECT_EQ(sink_->metrics().possible_duplicates, static_cast<uint64_t>(kRows));
}

// ---- what sessions are left with ---------------------------------------------------------------

struct Latest {
  int64_t id = 0;
  std::string text;
};

RecordBatch latest(int64_t first, int64_t count, const std::string& text) {
  std::vector<Latest> rows;
  for (int64_t id = first; id < first + count; ++id) rows.push_back({id, text});
  return batch_of(std::move(rows), column("id", &Latest::id), column("text", &Latest::text));
}

class PoolerTest : public ::testing::Test {
 protected:
  void SetUp() override {
    server_.sql("CREATE TABLE t (id bigint PRIMARY KEY, text text)", options_.database);
    options_.batch_size = 1000;
  }

  /// What the sessions that the pooler lends have that they had not at first. PgBouncer sets the
  /// settings that it knows to what the next client wants.
  std::string left_behind() {
    const auto rows = test::query_libpq(
        pooler_.conninfo(options_.database),
        "SELECT name FROM pg_settings WHERE source = 'session' AND name NOT IN ('application_name',"
        " 'client_encoding', 'DateStyle', 'TimeZone', 'standard_conforming_strings')"
        " UNION ALL SELECT 'role ' || current_user WHERE current_user <> session_user"
        " UNION ALL SELECT name FROM pg_prepared_statements"
        " UNION ALL SELECT locktype FROM pg_locks WHERE locktype = 'advisory'"
        " UNION ALL SELECT relname FROM pg_class WHERE relpersistence = 't' ORDER BY 1");
    std::string text;
    for (const auto& row : rows) text += row[0].value_or("") + "; ";
    return text;
  }

  /// Twice over the same keys, so that rows are inserted and updated.
  void write_twice() {
    auto sink = Sink::open(options_, latest(0, 0, "").schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    EXPECT_TRUE((*sink)->warnings().empty()) << (*sink)->warnings().front();
    for (const std::string text : {"old", "new"}) {
      ASSERT_TRUE((*sink)->write(latest(0, 3000, text)));
      const Status flushed = (*sink)->flush();
      ASSERT_TRUE(flushed) << flushed.error().to_string();
    }
    EXPECT_TRUE((*sink)->close());
  }

  Error open_error() {
    auto sink = Sink::open(options_, latest(0, 0, "").schema());
    EXPECT_FALSE(sink);
    return sink ? Error{} : sink.error();
  }

  std::string scalar(const std::string& text) { return server_.scalar(text, options_.database); }

  PostgresServer& server_ = test::shared_server();
  PgBouncer pooler_{server_, 1};
  SinkOptions options_ = [this] {
    SinkOptions options = options_of(pooler_);
    options.database = server_.create_database("pooler");
    return options;
  }();
};

TEST_F(PoolerTest, UpsertsFollowATableThatChanges) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  for (const auto& [use_copy, type] : {std::pair(true, "numeric"), std::pair(false, "int")}) {
    SCOPED_TRACE(use_copy ? "by COPY and a staging table" : "by arrays");
    options_.use_copy = use_copy;
    auto sink = Sink::open(options_, latest(0, 0, "").schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    for (const std::string text : {"old", "new"}) {
      ASSERT_TRUE((*sink)->write(latest(0, 3000, text)));
      const Status flushed = (*sink)->flush();
      ASSERT_TRUE(flushed) << flushed.error().to_string();
      server_.sql(std::string("ALTER TABLE t ALTER id TYPE ") + type, options_.database);
    }
    EXPECT_TRUE((*sink)->close());
    EXPECT_EQ(scalar("SELECT concat(count(*), ' ', min(id), ' ', max(id), ' ', min(text)) FROM t"),
              "3000 0 2999 new");
  }
}

TEST_F(PoolerTest, UpsertsLeaveSessionsAsTheyWere) {
  server_.create_role("pooler_writer");
  server_.sql("GRANT SELECT, INSERT, UPDATE ON t TO pooler_writer", options_.database);
  server_.sql("GRANT TEMPORARY ON DATABASE " + options_.database + " TO pooler_writer");
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  options_.set_role = "pooler_writer";
  options_.session_variables = {{"work_mem", "8MB"}, {"pgsink.test", "1"}};
  options_.statement_timeout_ms = 60'000;
  for (const bool use_copy : {true, false}) {
    SCOPED_TRACE(use_copy ? "by COPY and a staging table" : "by arrays");
    options_.use_copy = use_copy;
    server_.sql("TRUNCATE t", options_.database);
    write_twice();
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(*) FILTER (WHERE text = 'new') FROM t"),
              "3000 3000");
    EXPECT_EQ(left_behind(), "");
  }
}

TEST_F(PoolerTest, UpdatesLeaveThePlannerAsItWas) {
  options_.write_mode = WriteMode::kUpdate;
  options_.key_columns = {"id"};
  server_.sql("INSERT INTO t SELECT i FROM generate_series(0, 2999) AS i", options_.database);
  write_twice();
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE text = 'new'"), "3000");
  EXPECT_EQ(left_behind(), "");
}

// ---- what a pooler rules out -------------------------------------------------------------------

TEST_F(PoolerTest, TwoPhaseCommitIsRefused) {
  options_.use_2pc = true;
  const Error refused = open_error();
  EXPECT_EQ(refused.code, Errc::kOptionConflict);
  EXPECT_THAT(refused.message, HasSubstr("use_2pc does not work through a connection pooler"));
  EXPECT_EQ(scalar("SELECT to_regclass('pgsink_writers') IS NULL"), "t") << "before any trace";
}

TEST_F(PoolerTest, OriginsAndTheConfirmationByASlotAreRefused) {
  options_.replication_origin = "pooler_here";
  Error refused = open_error();
  EXPECT_EQ(refused.code, Errc::kOptionConflict);
  EXPECT_THAT(refused.message,
              HasSubstr("replication_origin does not work through a connection pooler"));
  options_.replication_origin.clear();
  options_.publication = "pooler_changes";
  options_.replication_slot = "pooler_slot";
  options_.confirm_slot = true;
  refused = open_error();
  EXPECT_EQ(refused.code, Errc::kOptionConflict);
  EXPECT_THAT(refused.message, HasSubstr("confirm_slot does not work through a connection pooler"));
  EXPECT_EQ(scalar("SELECT count(*) FROM pg_replication_slots WHERE slot_name = 'pooler_slot'"),
            "0")
      << "no slot is left that nobody reads";
}

// ---- at least once, with a sink_id -------------------------------------------------------------

TEST_F(PoolerTest, AWriterThatWakesUpWhenTheNextHasEndedIsFenced) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  options_.sink_id = "orders";
  for (const auto isolation : {IsolationLevel::kReadCommitted, IsolationLevel::kSerializable}) {
    options_.isolation_level = isolation;
    server_.sql("TRUNCATE t", options_.database);
    auto former = Sink::open(options_, latest(0, 0, "").schema());
    ASSERT_TRUE(former) << former.error().to_string();
    EXPECT_TRUE((*former)->warnings().empty());
    ASSERT_TRUE((*former)->write(latest(0, 10, "old")));
    ASSERT_TRUE((*former)->flush());
    auto next = Sink::open(options_, latest(0, 0, "").schema());
    ASSERT_TRUE(next) << next.error().to_string();
    ASSERT_TRUE((*next)->write(latest(0, 10, "new")));
    ASSERT_TRUE((*next)->close());
    std::ignore = (*former)->write(latest(0, 10, "old"));
    const Status fenced = (*former)->flush();
    ASSERT_FALSE(fenced);
    EXPECT_EQ(fenced.error().code, Errc::kFenced) << fenced.error().to_string();
    EXPECT_THAT(fenced.error().message, HasSubstr("is fenced by \"pgsink/test\""));
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE text = 'new'"), "10");
    EXPECT_EQ(left_behind(), "");
  }
}

TEST_F(PoolerTest, AnOpenTransactionOfAFormerWriterIsEnded) {
  const PgBouncer pooler(server_, kSessions);
  options_.host = pooler.socket_dir();
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  options_.sink_id = "orders";
  for (const auto isolation : {IsolationLevel::kReadCommitted, IsolationLevel::kSerializable}) {
    options_.isolation_level = isolation;
    server_.sql("TRUNCATE t; INSERT INTO t VALUES (5, 'first')", options_.database);
    auto former = Sink::open(options_, latest(0, 0, "").schema());
    ASSERT_TRUE(former) << former.error().to_string();
    PGconn* const holder = PQconnectdb(server_.conninfo(options_.database).c_str());
    PQclear(PQexec(holder, "BEGIN; SELECT FROM t WHERE id = 5 FOR UPDATE"));
    ASSERT_TRUE((*former)->write(latest(0, 10, "old")));
    ASSERT_TRUE(test::eventually([&] {
      return scalar(
                 "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
                 "wait_event_type = 'Lock'") == "1";
    }));
    auto next = Sink::open(options_, latest(0, 0, "").schema());
    ASSERT_TRUE(next) << next.error().to_string();
    PQfinish(holder);
    ASSERT_TRUE((*next)->write(latest(0, 10, "new")));
    ASSERT_TRUE((*next)->close());
    const Status fenced = (*former)->flush();
    ASSERT_FALSE(fenced);
    EXPECT_EQ(fenced.error().code, Errc::kFenced) << fenced.error().to_string();
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE text = 'new'"), "10");
  }
}

TEST_F(PoolerTest, ExactlyOnceNeedsNoSessions) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  options_.delivery = Delivery::kExactlyOnce;
  options_.sink_id = "orders";
  auto former = Sink::open(options_, latest(0, 0, "").schema());
  ASSERT_TRUE(former) << former.error().to_string();
  EXPECT_TRUE((*former)->warnings().empty());
  auto next = Sink::open(options_, latest(0, 0, "").schema());
  ASSERT_TRUE(next) << next.error().to_string();
  RecordBatch batch = latest(0, 10, "old");
  batch.position = 1;
  std::ignore = (*former)->write(std::move(batch));
  const Status fenced = (*former)->flush();
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, Errc::kFenced) << fenced.error().to_string();
  batch = latest(0, 10, "new");
  batch.position = 1;
  EXPECT_TRUE((*next)->write(std::move(batch)));
  EXPECT_TRUE((*next)->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE text = 'new'"), "10");
  EXPECT_EQ(left_behind(), "");
}

}  // namespace
}  // namespace pgsink
