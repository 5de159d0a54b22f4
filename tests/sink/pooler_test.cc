// PgBouncer in transaction mode between the sinks and the server: what holds there as without it,
// and what is refused.

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "delivery/failover_support.h"
#include "pgsink/sink.h"
#include "support/pgbouncer.h"
#include "support/postgres_server.h"

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
    test::make_synchronous(*primary_);
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

TEST_F(PoolerTest, AnIdThatFencesNobodyIsAWarning) {
  options_.write_mode = WriteMode::kUpsert;
  options_.conflict_columns = {"id"};
  options_.sink_id = "orders";
  auto sink = Sink::open(options_, latest(0, 0, "").schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_EQ((*sink)->warnings().size(), 1U);
  EXPECT_THAT((*sink)->warnings()[0],
              HasSubstr("behind a pooler sink_id does not keep the rest of a former process from "
                        "writing older rows over newer ones"));
  EXPECT_TRUE((*sink)->write(latest(0, 10, "new")));
  EXPECT_TRUE((*sink)->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
  EXPECT_EQ(left_behind(), "");
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
