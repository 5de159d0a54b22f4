// confirm_slot: nothing is reported as durable before the sink's slot has decoded it.

#include <atomic>
#include <csignal>
#include <thread>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using namespace std::chrono_literals;
using test::PostgresServer;
using testing::HasSubstr;

struct Item {
  int64_t id;
  std::string name;
};

RecordBatch items(int64_t first, int64_t count, uint64_t position) {
  std::vector<Item> rows;
  for (int64_t id = first; id < first + count; ++id) rows.push_back({id, "name"});
  RecordBatch batch =
      batch_of(std::move(rows), column("id", &Item::id), column("name", &Item::name));
  batch.position = position;
  return batch;
}

class ConfirmSlotTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    server_ = PostgresServer::start({.settings = {{"wal_level", "logical"}}});
  }
  static void TearDownTestSuite() { server_.reset(); }

  void SetUp() override {
    database_ = server_->create_database("confirmed");
    sql("CREATE TABLE t (id bigint PRIMARY KEY, name text)");
    options_.connection_name = "test";
    options_.host = server_->socket_dir();
    options_.port = std::to_string(server_->port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.publication = "pub";
    options_.replication_slot = "slot";
    options_.confirm_slot = true;
    options_.max_retries = 20;
    options_.retry_backoff_ms = 10;
    options_.batch_timeout_ms = 5;
  }
  void TearDown() override {
    sql("SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots");
  }

  void sql(const std::string& text) { server_->sql(text, database_); }
  std::string scalar(const std::string& text) { return server_->scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, items(0, 0, 0).schema());
    EXPECT_TRUE(sink) << sink.error().to_string();
    return sink ? std::move(*sink) : nullptr;
  }
  Error open_error() {
    const auto sink = Sink::open(options_, items(0, 0, 0).schema());
    EXPECT_FALSE(sink);
    return sink ? Error{} : sink.error();
  }
  /// Stops the slot's own server process where it is.
  pid_t pause_sender() {
    const pid_t sender = std::stoi(scalar("SELECT active_pid FROM pg_replication_slots"));
    EXPECT_EQ(kill(sender, SIGSTOP), 0);
    return sender;
  }
  /// What the slot has still to show.
  std::string left() {
    return scalar(
        "SELECT count(*) FROM pg_logical_slot_peek_binary_changes('slot', NULL, NULL, "
        "'proto_version', '1', 'publication_names', 'pub') WHERE get_byte(data, 0) = 73");
  }

  static std::unique_ptr<PostgresServer> server_;
  std::string database_;
  SinkOptions options_;
};
std::unique_ptr<PostgresServer> ConfirmSlotTest::server_;

TEST_F(ConfirmSlotTest, ReadsTheSlotToItsEnd) {
  options_.parallelism = 2;
  auto sink = open();
  ASSERT_TRUE(sink);
  for (int round = 0; round < 20; ++round) {
    ASSERT_TRUE(sink->write(items(round * 100, 100, static_cast<uint64_t>(round) + 1)));
    const Status flushed = sink->flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    EXPECT_EQ(sink->durable_position(), static_cast<uint64_t>(round) + 1);
  }
  ASSERT_TRUE(sink->close());
  sink.reset();
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "2000");
  EXPECT_EQ(left(), "0");
}

TEST_F(ConfirmSlotTest, NothingIsDurableThatTheSlotHasNotDecoded) {
  auto sink = open();
  ASSERT_TRUE(sink);
  ASSERT_TRUE(sink->write(items(0, 10, 1)));
  ASSERT_TRUE(sink->flush());
  const pid_t sender = pause_sender();
  ASSERT_TRUE(sink->write(items(10, 10, 2)));
  std::atomic<bool> flushed = false;
  std::thread flushing([&] {
    EXPECT_TRUE(sink->flush());
    flushed = true;
  });
  const auto end = std::chrono::steady_clock::now() + 30s;
  while (scalar("SELECT count(*) FROM t") != "20" && std::chrono::steady_clock::now() < end) {
    std::this_thread::sleep_for(10ms);
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "20");
  std::this_thread::sleep_for(300ms);
  EXPECT_FALSE(flushed);
  EXPECT_EQ(sink->durable_position(), 1U);
  EXPECT_EQ(kill(sender, SIGCONT), 0);
  flushing.join();
  EXPECT_EQ(sink->durable_position(), 2U);
}

TEST_F(ConfirmSlotTest, ConnectionsThatBreakAreReplaced) {
  auto sink = open();
  ASSERT_TRUE(sink);
  for (int round = 0; round < 10; ++round) {
    ASSERT_TRUE(sink->write(items(round * 100, 100, static_cast<uint64_t>(round) + 1)));
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND "
        "datname = current_database()" +
        std::string(round % 2 == 0 ? " AND backend_type = 'walsender'" : ""));
    const Status flushed = sink->flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
  }
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), "1000");
  // The last one may have died before it heard how far we are: the next one begins there.
  sink = open();
  ASSERT_TRUE(sink);
  ASSERT_TRUE(sink->write(items(1000, 1, 11)));
  ASSERT_TRUE(sink->close());
  sink.reset();
  EXPECT_EQ(left(), "0");
}

TEST_F(ConfirmSlotTest, ASlotThatIsGoneIsAnErrorAndNothingIsDelivered) {
  auto sink = open();
  ASSERT_TRUE(sink);
  ASSERT_TRUE(sink->write(items(0, 10, 1)));
  ASSERT_TRUE(sink->flush());
  const pid_t sender = pause_sender();
  ASSERT_TRUE(sink->write(items(10, 10, 2)));
  sql("SELECT pg_terminate_backend(" + std::to_string(sender) + ")");
  ASSERT_EQ(kill(sender, SIGCONT), 0);
  // The sink comes back at once: so the slot is dropped in the moment in between, or a later one.
  for (int attempt = 0; attempt < 1000; ++attempt) {
    sql("DO $$ BEGIN PERFORM pg_terminate_backend(active_pid) FROM pg_replication_slots WHERE "
        "active; PERFORM pg_drop_replication_slot('slot'); EXCEPTION WHEN OTHERS THEN END $$");
    if (scalar("SELECT count(*) FROM pg_replication_slots") == "0") break;
  }
  // Whether the sink has noticed before it takes more rows or only then.
  Status refused = sink->write(items(20, 10, 3));
  if (refused) refused = sink->flush();
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("confirm_slot: "));
  EXPECT_THAT(refused.error().message, HasSubstr("\"slot\" does not exist"));
  EXPECT_LT(sink->durable_position(), 3U);
}

TEST_F(ConfirmSlotTest, CommitsThatDoNotWaitForTheDiskAreRefused) {
  options_.session_variables.emplace_back("synchronous_commit", "off");
  EXPECT_THAT(open_error().message, HasSubstr("synchronous_commit is off"));
}

}  // namespace
}  // namespace pgsink
