// Sinks that share a pool, one after another and at once, and the program beside them.

#include <atomic>
#include <thread>
#include <unistd.h>

#include <pgsink/batch_of.h>
#include <pgsink/pool.h>
#include <pgsink/sink.h>

#include <gmock/gmock.h>

#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using ::testing::HasSubstr;

struct Row {
  int64_t id = 0;
  std::string name;
};

RecordBatch batch(int64_t first, int64_t count) {
  std::vector<Row> made;
  for (int64_t i = first; i < first + count; ++i) made.push_back({i, "n" + std::to_string(i)});
  RecordBatch rows = batch_of(std::move(made), column("id", &Row::id), column("name", &Row::name));
  rows.position = static_cast<uint64_t>(first + count);
  return rows;
}

class SinkPoolTest : public ::testing::Test {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("pool");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text)");
    options_.connection_name = "pooled";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 10;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string sessions() {
    return scalar(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND "
        "application_name = 'pgsink/pooled'");
  }
  bool sessions_become(const std::string& count) {
    for (int i = 0; i < 500; ++i) {
      if (sessions() == count) return true;
      ::usleep(10'000);
    }
    return false;
  }
  std::shared_ptr<ConnectionPool> pool() {
    auto made = ConnectionPool::create(options_);
    EXPECT_TRUE(made) << (made ? "" : made.error().to_string());
    return made ? *made : nullptr;
  }
  std::unique_ptr<Sink> open(const std::shared_ptr<ConnectionPool>& pool) {
    auto sink = Sink::open(options_, batch(0, 0).schema(), nullptr, pool);
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  Error open_error(const std::shared_ptr<ConnectionPool>& pool) {
    auto sink = Sink::open(options_, batch(0, 0).schema(), nullptr, pool);
    EXPECT_FALSE(sink);
    return sink ? Error{} : sink.error();
  }
  /// What a session must look like to its next user.
  void expect_clean(ConnectionPool& pool) {
    auto connection = pool.checkout();
    ASSERT_TRUE(connection) << connection.error().to_string();
    const auto seen = connection->query(
        "SELECT concat_ws(' ', current_user, '[' || current_setting('pgsink.flight', true) || ']', "
        "current_setting('plan_cache_mode'), current_setting('default_transaction_isolation'), "
        "current_setting('enable_hashjoin'), "
        "(SELECT count(*) FROM pg_class WHERE relpersistence = 't'), "
        "(SELECT count(*) FROM pg_prepared_statements), "
        "(SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid()))");
    ASSERT_TRUE(seen) << seen.error().to_string();
    EXPECT_THAT(*seen->rows[0][0], ::testing::AnyOf("postgres [] auto read committed on 0 0 0",
                                                    "postgres auto read committed on 0 0 0"));
  }

  std::string database_;
  SinkOptions options_;
};

TEST_F(SinkPoolTest, SinksOneAfterAnotherUseTheSameSessions) {
  options_.parallelism = 3;
  const auto shared = pool();
  for (int64_t i = 0; i < 5; ++i) {
    auto sink = open(shared);
    EXPECT_EQ(shared->metrics().active_connections, 3U);
    ASSERT_TRUE(sink->write(batch(i * 3000, 3000)));
    ASSERT_TRUE(sink->close());
    EXPECT_EQ(shared->metrics().active_connections, 0U);
    EXPECT_EQ(shared->metrics().idle_connections, 3U);
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "15000");
  const PoolMetrics metrics = shared->metrics();
  EXPECT_EQ(metrics.connection_name, "pooled");
  EXPECT_EQ(metrics.pool_size, 4U);
  EXPECT_EQ(metrics.connections_opened, 3U);
  EXPECT_EQ(metrics.connections_broken, 0U);
  EXPECT_EQ(sessions(), "3");
  shared->close();
  EXPECT_TRUE(sessions_become("0"));
}

// The kinds of sinks leave different things in their sessions; the next one must not meet them.
TEST_F(SinkPoolTest, AnotherKindOfSinkFindsCleanSessions) {
  sql("DROP ROLE IF EXISTS pool_writer; CREATE ROLE pool_writer; GRANT ALL ON t TO pool_writer");
  options_.connection_pool_size = 2;
  const auto shared = pool();
  const SinkOptions plain = options_;
  const auto write = [&](int64_t rows) {
    auto sink = open(shared);
    ASSERT_TRUE(sink->write(batch(0, rows)));
    ASSERT_TRUE(sink->flush());
    ASSERT_TRUE(sink->write(batch(0, rows)));
    ASSERT_TRUE(sink->close());
    expect_clean(*shared);
  };
  options_.write_mode = WriteMode::kUpsert;
  write(1000);  // arrays: prepared statements, settings of the session, the guard
  options_.use_copy = true;
  write(5000);  // the staging table
  options_.isolation_level = IsolationLevel::kSerializable;
  options_.set_role = "pool_writer";
  options_.session_variables = {{"my.tenant", "7"}};
  write(1000);
  options_ = plain;
  options_.write_mode = WriteMode::kInsertIgnore;
  write(1000);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "5000");
  EXPECT_EQ(shared->metrics().connections_opened, 1U);
}

TEST_F(SinkPoolTest, SinksAtOnceWaitForEachOthersPlacesAndLoseNothing) {
  options_.connection_pool_size = 4;
  options_.parallelism = 3;
  options_.connection_timeout_ms = 30'000;
  const auto shared = pool();
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < 6; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t i = 0; i < 3; ++i) {
        auto sink = open(shared);  // Three of four places: never two sinks at once, nor a deadlock.
        ASSERT_NE(sink, nullptr);
        ASSERT_TRUE(sink->write(batch((t * 3 + i) * 500, 500)));
        ASSERT_TRUE(sink->close());
      }
    });
  }
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "9000");
  const PoolMetrics metrics = shared->metrics();
  EXPECT_LE(metrics.connections_opened, 4U);
  EXPECT_EQ(metrics.requests, 18U);
  EXPECT_GT(metrics.connection_wait_time_ms, 0);
  EXPECT_GE(metrics.connection_wait_time_max_ms, metrics.connection_wait_time_mean_ms());
}

TEST_F(SinkPoolTest, AFullPoolIsAnErrorThatShowsItsState) {
  options_.connection_pool_size = 2;
  options_.parallelism = 2;
  options_.connection_timeout_ms = 3000;
  const auto shared = pool();
  auto first = open(shared);
  const Error none = open_error(shared);
  EXPECT_EQ(none.code, Errc::kPoolTimeout);
  EXPECT_THAT(none.message, HasSubstr("size 2, active 2, opening 0, reconnecting 0, idle 0, "
                                      "waiting 1"));
  ASSERT_TRUE(first->close());
  EXPECT_TRUE(open(shared)->close());
}

TEST_F(SinkPoolTest, TheSizeGrowsToWhatASinkNeedsUnlessItIsGiven) {
  options_.parallelism = 10;
  EXPECT_EQ(pool()->metrics().pool_size, 10U);
  EXPECT_TRUE(open(nullptr)->close());
  options_.use_2pc = true;
  EXPECT_EQ(pool()->metrics().pool_size, 11U);
  options_.connection_pool_size = 10;
  const Error small = open_error(nullptr);
  EXPECT_EQ(small.code, Errc::kOptionConflict);
  EXPECT_THAT(small.message, HasSubstr("connection_pool_size = 10"));
  EXPECT_THAT(small.message, HasSubstr("parallelism = 10 with use_2pc"));
  options_.connection_pool_size = 20;
  EXPECT_EQ(pool()->metrics().pool_size, 20U);
}

TEST_F(SinkPoolTest, APoolThatLeadsElsewhereIsRefused) {
  const auto shared = pool();
  const std::string other = shared_server().create_database("pool_other");
  options_.database = other;
  const Error error = open_error(shared);
  EXPECT_EQ(error.code, Errc::kOptionConflict);
  EXPECT_THAT(error.message, HasSubstr("connects to another server, database or role"));
  options_.database = database_;
  options_.parallelism = 5;
  EXPECT_EQ(open_error(shared).code, Errc::kOptionConflict);
}

TEST_F(SinkPoolTest, ALaneThatIsCutOffComesBackInItsPlace) {
  options_.connection_pool_size = 2;
  options_.parallelism = 2;
  const auto shared = pool();
  auto sink = open(shared);
  for (int64_t i = 0; i < 10; ++i) {
    ASSERT_TRUE(sink->write(batch(i * 1000, 1000)));
    if (i % 3 == 1) {
      sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
          "'pgsink/pooled' AND datname = current_database() LIMIT 1");
    }
  }
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10000");
  const PoolMetrics metrics = shared->metrics();
  EXPECT_GE(metrics.connections_broken, 1U);
  EXPECT_EQ(metrics.connections_opened, 2 + metrics.connections_broken);
  EXPECT_EQ(metrics.active_connections, 0U);
  EXPECT_LE(metrics.idle_connections, 2U);
  EXPECT_TRUE(open(shared)->close());
}

TEST_F(SinkPoolTest, ASinkThatFailsKeepsItsSessionsFromOthers) {
  options_.max_retries = 0;
  const auto shared = pool();
  auto sink = open(shared);
  ASSERT_TRUE(sink->write(batch(0, 10)));
  ASSERT_TRUE(sink->flush());
  ASSERT_TRUE(sink->write(batch(5, 10)));
  EXPECT_FALSE(sink->close());
  EXPECT_EQ(shared->metrics().active_connections, 0U);
  EXPECT_EQ(shared->metrics().idle_connections, 0U);
  expect_clean(*shared);
}

TEST_F(SinkPoolTest, ExactlyOnceOverASharedPoolGoesOnWhereItWas) {
  options_.delivery = Delivery::kExactlyOnce;
  const auto shared = pool();
  for (int64_t i = 0; i < 4; ++i) {
    auto sink = open(shared);
    EXPECT_EQ(sink->durable_position(), static_cast<uint64_t>(i) * 100);
    ASSERT_TRUE(sink->write(batch(i * 100, 100)));
    ASSERT_TRUE(sink->close());
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "400");
  EXPECT_EQ(shared->metrics().connections_opened, 1U);
}

TEST_F(SinkPoolTest, TheProgramUsesItsOwnConnectionsBeside) {
  options_.connection_pool_size = 2;
  const auto shared = pool();
  auto sink = open(shared);
  ASSERT_TRUE(sink->write(batch(0, 100)));
  ASSERT_TRUE(sink->flush());
  {
    auto connection = shared->checkout();
    ASSERT_TRUE(connection);
    const auto count = connection->query("SELECT count(*) AS n, NULL FROM t");
    ASSERT_TRUE(count);
    EXPECT_EQ(count->columns, (std::vector<std::string>{"n", "?column?"}));
    EXPECT_EQ(count->rows[0][0], "100");
    EXPECT_EQ(count->rows[0][1], std::nullopt);
    const std::optional<std::string> parameters[] = {"7", std::nullopt};
    const auto updated =
        connection->query("UPDATE t SET name = coalesce($2, 'x') WHERE id = $1", parameters);
    ASSERT_TRUE(updated);
    EXPECT_EQ(updated->tag, "UPDATE 1");
    const auto wrong = connection->query("SELECT 1/0");
    ASSERT_FALSE(wrong);
    EXPECT_EQ(wrong.error().sqlstate.view(), "22012");
    EXPECT_TRUE(connection->query("BEGIN; DELETE FROM t"));
    connection->give_back();
    EXPECT_EQ(connection->query("SELECT 1").error().code, Errc::kUsage);
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE name = 'x'"), "1");
  ASSERT_TRUE(sink->write(batch(100, 100)));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "200") << "the DELETE was rolled back";
}

TEST_F(SinkPoolTest, ASinkOutlivesThePoolThatItCameFrom) {
  auto shared = pool();
  auto sink = open(shared);
  shared.reset();
  ASSERT_TRUE(sink->write(batch(0, 100)));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "100");
  EXPECT_TRUE(sessions_become("0"));
}

TEST_F(SinkPoolTest, IdleSessionsAreClosedAfterIdleTimeout) {
  options_.idle_timeout_ms = 200;
  const auto shared = pool();
  ASSERT_TRUE(open(shared)->close());
  EXPECT_TRUE(sessions_become("0"));
  EXPECT_EQ(shared->metrics().connections_reaped, 1U);
}

/// The statement of the specification, with only the place filled in.
TEST_F(SinkPoolTest, ThePoolOfTheSpecification) {
  options_.connection_pool_size = 20;
  options_.connection_timeout_ms = 5000;
  options_.idle_timeout_ms = 600'000;
  const auto shared = pool();
  std::vector<PooledConnection> all;
  for (int i = 0; i < 20; ++i) {
    auto one = shared->checkout();
    ASSERT_TRUE(one) << one.error().to_string();
    all.push_back(std::move(*one));
  }
  EXPECT_EQ(sessions(), "20");
  const PoolMetrics full = shared->metrics();
  EXPECT_EQ(full.pool_size, 20U);
  EXPECT_EQ(full.active_connections, 20U);
  all.clear();
  EXPECT_EQ(shared->metrics().idle_connections, 20U);
  EXPECT_EQ(sessions(), "20");
}

}  // namespace
}  // namespace pgsink
