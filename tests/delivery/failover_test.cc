// A primary that dies under load, with a standby that takes over, and a way to the server that
// swallows everything: the sinks find the other one by themselves.

#include <thread>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "delivery/failover_support.h"
#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::kBatchRows;
using test::PostgresServer;
using test::StopMode;
using Row = test::WriterRow;
using ::testing::HasSubstr;

class FailoverTest : public ::testing::Test {
 protected:
  void SetUp() override {
    primary_ = PostgresServer::start();
    primary_->sql("CREATE TABLE t (writer bigint, id bigint)");
    standby_ = primary_->start_standby();
    options_.connection_name = "test";
    options_.host = primary_->socket_dir() + "," + standby_->socket_dir();
    options_.port = std::to_string(primary_->port()) + "," + std::to_string(standby_->port());
    options_.database = "postgres";
    options_.username = "postgres";
    options_.table = "t";
    options_.batch_size = kBatchRows;
    options_.retry_backoff_ms = 50;
    options_.max_retries = 200;
  }

  uint64_t write_through_a_failover(uint64_t batches) {
    return test::write_through(options_, batches, [this] {
      primary_->stop(StopMode::kImmediate);
      standby_->promote();
    });
  }

  std::unique_ptr<PostgresServer> primary_, standby_;
  SinkOptions options_;
};

TEST_F(FailoverTest, ToASynchronousStandbyWritesEverythingOnce) {
  primary_->make_synchronous();
  options_.delivery = Delivery::kExactlyOnce;
  write_through_a_failover(200);
  EXPECT_EQ(standby_->scalar("SELECT count(*) || ' ' || count(DISTINCT (writer, id)) FROM t"),
            "100000 100000");
}

TEST_F(FailoverTest, ToASynchronousStandbyLosesNothingAtLeastOnce) {
  primary_->make_synchronous();
  const uint64_t duplicates = write_through_a_failover(200);
  EXPECT_EQ(standby_->scalar("SELECT count(DISTINCT (writer, id)) FROM t"), "100000");
  const auto rows = std::stoull(standby_->scalar("SELECT count(*) FROM t"));
  EXPECT_LE(rows, 100'000 + duplicates);
}

TEST_F(FailoverTest, ToAnAsynchronousStandbyNamesWhereToGoBackTo) {
  options_.delivery = Delivery::kExactlyOnce;
  options_.sink_id = "orders";
  {
    auto sink = Sink::open(options_, test::writer_batch(0, 1).schema());
    ASSERT_TRUE(sink) << sink.error().to_string();
    ASSERT_EQ((*sink)->warnings().size(), 1U);
    EXPECT_THAT((*sink)->warnings()[0], HasSubstr("none is a synchronous standby"));
    for (uint64_t n = 1; n <= 10; ++n) ASSERT_TRUE((*sink)->write(test::writer_batch(0, n)));
    ASSERT_TRUE((*sink)->flush());
    const std::string written = primary_->scalar("SELECT pg_current_wal_flush_lsn()");
    ASSERT_TRUE(test::eventually([&] {
      return standby_->scalar("SELECT pg_last_wal_replay_lsn() >= '" + written + "'") == "t";
    }));
    // From here on the standby hears nothing.
    primary_->set_hba({"local all all trust", "local replication all reject"});
    primary_->sql("SELECT pg_terminate_backend(pid) FROM pg_stat_replication");
    for (uint64_t n = 11; n <= 20; ++n) ASSERT_TRUE((*sink)->write(test::writer_batch(0, n)));
    ASSERT_TRUE((*sink)->flush());
    primary_->stop(StopMode::kImmediate);
    standby_->promote();
    std::ignore = (*sink)->write(test::writer_batch(0, 21));
    const Status flushed = (*sink)->flush();
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().code, Errc::kOutcomeUnknown) << flushed.error().message;
    EXPECT_THAT(flushed.error().message, HasSubstr("again from after position 10"));
  }
  auto sink = Sink::open(options_, test::writer_batch(0, 1).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  const uint64_t position = (*sink)->durable_position();
  EXPECT_EQ(position, 10U);
  for (uint64_t n = position + 1; n <= 21; ++n)
    ASSERT_TRUE((*sink)->write(test::writer_batch(0, n)));
  ASSERT_TRUE((*sink)->close());
  EXPECT_EQ(standby_->scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"), "1050 1050");
}

TEST_F(FailoverTest, ASessionThatMayNotWriteIsGivenUpForAnother) {
  options_.host = primary_->socket_dir();
  options_.port = std::to_string(primary_->port());
  options_.max_retries = 3;
  options_.retry_backoff_ms = 1;
  // As with an address that has moved to a standby: each transaction finds itself read-only.
  options_.session_variables = {{"transaction_read_only", "on"}};
  auto sink = Sink::open(options_, test::writer_batch(0, 1).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(test::writer_batch(0, 1)));
  const Status flushed = (*sink)->flush();
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().sqlstate, "25006") << flushed.error().to_string();
  EXPECT_EQ((*sink)->metrics().connections_opened, 4U) << "each attempt has one of its own";
}

/// What is sent is swallowed, and nobody hangs up.
TEST(BlackHoleTest, IsLeftForTheOtherWay) {
  const auto server = PostgresServer::start();
  server->sql("CREATE TABLE t (writer bigint, id bigint)");
  test::WireProxy proxy(server->socket_dir(), server->port());
  SinkOptions options;
  options.connection_name = "test";
  options.host = "127.0.0.1,127.0.0.1";
  options.port = std::to_string(proxy.port()) + "," + std::to_string(server->port());
  options.database = "postgres";
  options.username = "postgres";
  options.table = "t";
  options.ssl_mode = "disable";
  options.retry_backoff_ms = 10;
  options.tcp_user_timeout_ms = 500;
  // More than the sockets on the way take up while nobody reads.
  constexpr int64_t kRows = 250'000, kBatches = 6;
  options.batch_size = 100'000;
  const auto rows = [](int64_t n) {
    std::vector<Row> made;
    for (int64_t id = n * kRows; id < (n + 1) * kRows; ++id) made.push_back({0, id});
    return batch_of(std::move(made), column("writer", &Row::writer), column("id", &Row::id));
  };
  auto sink = Sink::open(options, rows(-1).schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  proxy.set_rule({.side = test::WireProxy::Side::kFrontend,
                  .type = 'd',
                  .nth = 5,
                  .effect = test::WireProxy::Effect::kSwallow,
                  .then_refuse = true});
  for (int64_t n = 0; n < kBatches; ++n) ASSERT_TRUE((*sink)->write(rows(n)));
  const Status flushed = (*sink)->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_GT(proxy.seen(), 4);
  EXPECT_EQ((*sink)->metrics().connections_broken, 1U);
  EXPECT_TRUE((*sink)->close());
  EXPECT_EQ(server->scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"),
            std::to_string(kBatches * kRows) + " " + std::to_string(kBatches * kRows));
}

}  // namespace
}  // namespace pgsink
