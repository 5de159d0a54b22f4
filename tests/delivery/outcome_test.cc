// What became of a transaction whose answer was lost: against the real server, through a proxy that
// loses the answer at a chosen message.

#include <chrono>
#include <thread>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>
#include <libpq-fe.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::PostgresServer;
using test::WireProxy;
using Effect = WireProxy::Effect;
using Side = WireProxy::Side;
using Connection = std::unique_ptr<PGconn, decltype(&PQfinish)>;

constexpr int64_t kRows = 300;

struct Row {
  int64_t id = 0;
};

RecordBatch rows(int64_t first = 1) {
  std::vector<Row> made(kRows);
  for (int64_t i = 0; i < kRows; ++i) made[static_cast<size_t>(i)].id = first + i;
  return batch_of(std::move(made), column("id", &Row::id));
}

void pause_ms(int ms) { std::this_thread::sleep_for(std::chrono::milliseconds(ms)); }

class OutcomeTest : public ::testing::Test {
 protected:
  void use(PostgresServer& server) {
    server_ = &server;
    database_ = server.create_database("outcome");
    sql("CREATE TABLE t (id bigint)");
    proxy_ = std::make_unique<WireProxy>(server.socket_dir(), server.port());
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.retry_backoff_ms = 20;
    options_.max_retries = 1000;
    options_.use_copy = true;  // The tests count its messages.
  }
  void SetUp() override { use(test::shared_server()); }

  void sql(const std::string& text) { server_->sql(text, database_); }
  std::string scalar(const std::string& text) { return server_->scalar(text, database_); }
  Connection session() { return {PQconnectdb(server_->conninfo(database_).c_str()), &PQfinish}; }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, rows().schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return std::move(*sink);
  }
  bool wait_for_rule() {
    for (int i = 0; i < 1000 && !proxy_->fired(); ++i) pause_ms(5);
    return proxy_->fired();
  }
  void expect_once(const Sink& sink, uint64_t possible_duplicates) {
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) FROM t"), "300 300");
    EXPECT_EQ(sink.metrics().possible_duplicates, possible_duplicates);
    EXPECT_EQ(sink.metrics().rows_written, static_cast<uint64_t>(kRows));
  }

  PostgresServer* server_ = nullptr;
  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
};

// Answers of a flight: C(BEGIN) T D(xid) C(SELECT) G | C(COPY) Z | C(COMMIT) Z.
constexpr int kCommitTag = 4;

TEST_F(OutcomeTest, ALostCommitReplyIsAskedForAndNotWrittenTwice) {
  auto sink = open();
  proxy_->set_rule({.side = Side::kBackend, .type = 'C', .nth = kCommitTag});
  ASSERT_TRUE(sink->write(rows()));
  const Status flushed = sink->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_TRUE(proxy_->fired());
  EXPECT_EQ(proxy_->connections(), 2);
  expect_once(*sink, 0);
  EXPECT_EQ(sink->metrics().retry_count, 0U);
}

TEST_F(OutcomeTest, ALostAnswerOfASmallInsertIsAskedForAndNotWrittenTwice) {
  options_.use_copy.reset();
  auto sink = open();
  // The first is of the session's defaults, the second of the rows: their xid came before it.
  proxy_->set_rule({.side = Side::kBackend, .type = 'Z', .nth = 2});
  ASSERT_TRUE(sink->write(rows()));
  const Status flushed = sink->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_TRUE(proxy_->fired());
  EXPECT_EQ(proxy_->connections(), 2);
  expect_once(*sink, 0);
  EXPECT_EQ(sink->metrics().retry_count, 0U);
}

TEST_F(OutcomeTest, ALostCommitIsWrittenAgain) {
  // The transaction stays open until flush(): its xid is known when COMMIT gets lost.
  options_.copy_batch_size = kRows;
  options_.transaction_size = 10 * kRows;
  options_.batch_timeout_ms = 600'000;
  auto sink = open();
  proxy_->set_rule({.side = Side::kFrontend, .type = 'Q', .nth = 2});
  ASSERT_TRUE(sink->write(rows()));
  pause_ms(200);
  const Status flushed = sink->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_TRUE(proxy_->fired());
  expect_once(*sink, 0);
  EXPECT_EQ(sink->metrics().retry_count, 1U);
}

TEST_F(OutcomeTest, ACutBeforeTheXidIsKnownCountsWhatIsThereTwice) {
  auto sink = open();
  proxy_->set_rule({.side = Side::kBackend, .type = 'D', .nth = 1});
  ASSERT_TRUE(sink->write(rows()));
  const Status flushed = sink->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  const int64_t present = std::stoll(scalar("SELECT count(*) FROM t"));
  EXPECT_TRUE(present == kRows || present == 2 * kRows) << present;
  EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), "300");
  EXPECT_EQ(sink->metrics().possible_duplicates, static_cast<uint64_t>(present - kRows));
}

TEST_F(OutcomeTest, CutsAtEveryByteOfTheAnswersLoseNothingAndCountEveryDuplicate) {
  // The answers of one flight are some 200 bytes; then the session is idle and no cut happens.
  int cuts = 0;
  for (uint64_t bytes = 0; bytes < 400; bytes += 7) {
    sql("TRUNCATE t");
    auto sink = open();
    proxy_->cut_after_bytes(Side::kBackend, bytes);
    ASSERT_TRUE(sink->write(rows()));
    const Status flushed = sink->flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    cuts += proxy_->fired() ? 1 : 0;
    const uint64_t duplicates = std::stoull(scalar("SELECT count(*) FROM t")) - kRows;
    EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), "300") << "after " << bytes << " bytes";
    EXPECT_EQ(duplicates, sink->metrics().possible_duplicates) << "after " << bytes << " bytes";
    proxy_->cut_after_bytes(Side::kBackend, UINT64_MAX);
    ASSERT_TRUE(sink->close());
  }
  EXPECT_GT(cuts, 10);
}

TEST_F(OutcomeTest, AnAnswerOfRollbackToCommitIsAFailure) {
  // No error anywhere, only the tag: what a trigger or a pooler may do, done here on the way.
  auto sink = open();
  proxy_->replace_once(std::string("COMMIT\0", 7), std::string("ABORT \0", 7));
  ASSERT_TRUE(sink->write(rows()));
  const Status flushed = sink->flush();
  EXPECT_TRUE(proxy_->fired());
  ASSERT_FALSE(flushed);
  EXPECT_EQ(flushed.error().code, Errc::kRolledBack);
  EXPECT_EQ(sink->metrics().rows_written, 0U);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
}

TEST_F(OutcomeTest, ABackendThatOutlivesItsClientCommitsByItself) {
  // The trap that the fence prevents, without our code: libpq's client vanishes, the row appears.
  const Connection locker = session();
  PQclear(PQexec(locker.get(), "BEGIN; LOCK TABLE t IN EXCLUSIVE MODE"));
  const std::string conninfo = "host=127.0.0.1 sslmode=disable user=postgres dbname=" + database_ +
                               " port=" + std::to_string(proxy_->port());
  Connection vanishing(PQconnectdb(conninfo.c_str()), &PQfinish);
  proxy_->set_rule(
      {.side = Side::kFrontend, .type = 'Q', .nth = 1, .pass_on = true, .effect = Effect::kOrphan});
  ASSERT_EQ(PQsendQuery(vanishing.get(), "BEGIN; INSERT INTO t VALUES (7); COMMIT"), 1);
  ASSERT_TRUE(wait_for_rule());
  vanishing.reset();
  PQclear(PQexec(locker.get(), "ROLLBACK"));
  std::string count;
  for (int i = 0; i < 500 && count != "1"; ++i) {
    pause_ms(10);
    count = scalar("SELECT count(*) FROM t");
  }
  EXPECT_EQ(count, "1");
}

TEST_F(OutcomeTest, AZombieBackendIsFencedBeforeItsRowsAreSentAgain) {
  const Connection locker = session();
  PQclear(PQexec(locker.get(), "BEGIN; LOCK TABLE t IN EXCLUSIVE MODE"));
  auto sink = open();
  proxy_->set_rule(
      {.side = Side::kFrontend, .type = 'Q', .nth = 2, .pass_on = true, .effect = Effect::kOrphan});
  ASSERT_TRUE(sink->write(rows()));
  std::thread unlock([&] {
    EXPECT_TRUE(wait_for_rule());
    pause_ms(500);  // Time enough to reconnect and, if nobody fenced, to wait beside the zombie.
    PQclear(PQexec(locker.get(), "ROLLBACK"));
  });
  const Status flushed = sink->flush();
  unlock.join();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  pause_ms(200);
  expect_once(*sink, 0);  // Its xid was never told, but no transaction has committed.
}

TEST_F(OutcomeTest, AnXidHandedOutAgainAfterACrashIsNotTakenForOurs) {
  // WAL stays in the server's memory until somebody commits: then a crash forgets the xid.
  test::ServerConfig config;
  config.settings = {{"wal_writer_delay", "10s"}, {"autovacuum", "off"}};
  auto server = PostgresServer::start(config);
  use(*server);
  sql("CREATE TABLE other (a int); CHECKPOINT");
  auto sink = open();
  proxy_->set_rule({.side = Side::kFrontend,
                    .type = 'Q',
                    .nth = 2,
                    .effect = Effect::kOrphan,
                    .then_refuse = true});
  const Connection victim = session();
  const int victim_pid = PQbackendPID(victim.get());

  ASSERT_TRUE(sink->write(rows()));
  ASSERT_TRUE(wait_for_rule());
  // Until the old backend has read all that it will ever get, and waits for COMMIT.
  std::string ours;
  for (int i = 0; i < 500 && ours.empty(); ++i) {
    pause_ms(10);
    ours = scalar(
        "SELECT max(backend_xid::text) FROM pg_stat_activity WHERE application_name = "
        "'pgsink/test' AND state = 'idle in transaction'");
  }
  ASSERT_FALSE(ours.empty());
  server->kill_backend(victim_pid);
  server->wait_until_ready();
  std::string last;
  for (int i = 0; i < 50 && last != ours; ++i) {
    last = scalar("WITH x AS (INSERT INTO other VALUES (1)) SELECT pg_current_xact_id()");
  }
  ASSERT_EQ(last, ours) << "the trap: our xid is somebody else's now";
  ASSERT_EQ(scalar("SELECT pg_xact_status('" + ours + "')"), "committed") << "and so is its answer";
  ASSERT_EQ(scalar("SELECT count(*) FROM t"), "0") << "though our rows are gone";

  proxy_->refuse_connections(false);
  const Status flushed = sink->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  expect_once(*sink, kRows);
  sink.reset();
  proxy_.reset();
}

}  // namespace
}  // namespace pgsink
