// PgBouncer in transaction mode between the sinks and the server: what holds there as without it,
// and what is refused.

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "sink/failover_support.h"
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

}  // namespace
}  // namespace pgsink
