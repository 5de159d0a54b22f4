// Exactly-once through the whole sink: replays, lost answers, zombies and second writers.

#include <chrono>
#include <csignal>
#include <sys/wait.h>
#include <thread>
#include <tuple>
#include <unistd.h>

#include <pgsink/batch_of.h>

#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::PostgresServer;
using test::shared_server;
using test::WireProxy;
using Side = WireProxy::Side;

constexpr int64_t kBatchRows = 10;

struct Row {
  int64_t id = 0;
};

/// Batch n holds rows 10(n-1)+1 … 10n, and its position is n.
RecordBatch batch(uint64_t n) {
  std::vector<Row> rows;
  for (int64_t i = 1; n > 0 && i <= kBatchRows; ++i) {
    rows.push_back({static_cast<int64_t>(n - 1) * kBatchRows + i});
  }
  RecordBatch made = batch_of(std::move(rows), column("id", &Row::id));
  made.position = n;
  return made;
}

class ExactlyOnceTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PostgresServer& server = shared_server();
    database_ = server.create_database("once");
    sql("CREATE TABLE t (id bigint)");
    proxy_ = std::make_unique<WireProxy>(server.socket_dir(), server.port());
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.delivery = Delivery::kExactlyOnce;
    options_.sink_id = "orders";
    options_.batch_size = kBatchRows;
    options_.retry_backoff_ms = 5;
    options_.connection_timeout_ms = 60'000;  // open() does not try again.
    options_.max_retries = 1000;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch(0).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  /// Writes batches first … last and expects them to be durable.
  static void write(Sink& sink, uint64_t first, uint64_t last) {
    for (uint64_t n = first; n <= last; ++n) {
      const Status written = sink.write(batch(n));
      ASSERT_TRUE(written) << written.error().to_string();
    }
    const Status flushed = sink.flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
    EXPECT_EQ(sink.durable_position(), last);
  }
  void expect_once(uint64_t batches) {
    const std::string rows = std::to_string(batches * static_cast<uint64_t>(kBatchRows));
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || coalesce(max(id), 0) "
                     "FROM t"),
              rows + " " + rows + " " + rows);
  }

  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
};

TEST_F(ExactlyOnceTest, AReplayIsAcknowledgedWithoutWriting) {
  {
    auto sink = open();
    write(*sink, 1, 20);
    ASSERT_TRUE(sink->close());
  }
  auto sink = open();
  EXPECT_EQ(sink->durable_position(), 20U);
  write(*sink, 1, 30);  // From the start, as a host that remembers nothing does.
  EXPECT_EQ(sink->metrics().rows_written, 100U);
  EXPECT_EQ(sink->metrics().buffered_bytes, 0U);
  ASSERT_TRUE(sink->close());
  expect_once(30);
}

TEST_F(ExactlyOnceTest, WhatWasNotCommittedIsWrittenByTheNextRun) {
  options_.transaction_size = kBatchRows;
  {
    auto sink = open();
    write(*sink, 1, 5);
    sql("BEGIN; ALTER TABLE t ADD CHECK (id <> 75); COMMIT");
    for (uint64_t n = 6; n <= 12; ++n) ASSERT_TRUE(sink->write(batch(n)));
    EXPECT_FALSE(sink->close());
  }
  sql("ALTER TABLE t DROP CONSTRAINT t_id_check");
  auto sink = open();
  EXPECT_EQ(sink->durable_position(), 7U);
  write(*sink, 8, 12);
  expect_once(12);
}

TEST_F(ExactlyOnceTest, ASecondWriterFencesTheFirst) {
  auto first = open();
  write(*first, 1, 3);
  auto second = open();
  EXPECT_EQ(second->durable_position(), 3U);
  ASSERT_TRUE(first->write(batch(4)));
  const Status fenced = first->flush();
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, Errc::kFenced);
  EXPECT_NE(fenced.error().message.find("fenced by"), std::string::npos) << fenced.error().message;
  write(*second, 4, 6);
  expect_once(6);
}

TEST_F(ExactlyOnceTest, PositionsMustGrowAndBatchesOfAReplayMustBeCutAsTheyWere) {
  auto sink = open();
  write(*sink, 1, 4);
  EXPECT_EQ(sink->write(batch(4)).error().code, Errc::kUsage);
  ASSERT_TRUE(sink->close());
  sink = open();
  ASSERT_TRUE(sink->write(batch(3)));
  RecordBatch across = batch(1);
  across.position = 5;  // Batches 4 and 5 in one.
  const Status refused = sink->write(std::move(across));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("both sides of 4"), std::string::npos)
      << refused.error().message;
}

TEST_F(ExactlyOnceTest, ManyLanesNeedARuleThatDependsOnTheRowAlone) {
  options_.parallelism = 3;
  auto refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kOptionConflict);
  options_.partition_by = "hash(id)";
  {
    auto sink = open();
    write(*sink, 1, 20);
    ASSERT_TRUE(sink->close());
  }
  {
    auto sink = open();
    write(*sink, 1, 25);
    ASSERT_TRUE(sink->close());
  }
  expect_once(25);
  options_.parallelism = 2;
  refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("parallelism = 2, but sink_id"), std::string::npos)
      << refused.error().message;
}

/// What a failover to a standby that lags, or a restore, does while the sink is connected again:
/// the database goes back to position `to`.
class LostEpochsTest : public ExactlyOnceTest {
 protected:
  void go_back(uint64_t to) {
    sql("UPDATE pgsink_epochs SET epoch = epoch - (host_position - " + std::to_string(to) +
        "), host_position = " + std::to_string(to) + "; DELETE FROM t WHERE id > " +
        std::to_string(to * static_cast<uint64_t>(kBatchRows)));
  }
  void end_sessions() {
    sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = "
        "'pgsink/test' AND datname = current_database()");
  }
  /// The next flight is committed, but nobody hears it, nor can ask.
  void lose_the_answer() {
    proxy_->set_rule({.side = Side::kFrontend,
                      .type = 'Q',
                      .nth = 2,
                      .pass_on = true,
                      .effect = WireProxy::Effect::kOrphan,
                      .then_refuse = true});
  }
  /// The sink has acknowledged what is not there any more: it says where to go on, and a new one
  /// does.
  void expect_lost(const Status& flushed, uint64_t position) {
    ASSERT_FALSE(flushed);
    EXPECT_EQ(flushed.error().code, Errc::kOutcomeUnknown) << flushed.error().to_string();
    EXPECT_NE(flushed.error().message.find("again from after position " + std::to_string(position)),
              std::string::npos)
        << flushed.error().message;
    auto next = open();
    ASSERT_TRUE(next);
    EXPECT_EQ(next->durable_position(), position);
    write(*next, position + 1, 6);
    expect_once(6);
  }
};

TEST_F(LostEpochsTest, AreNoticedByTheNextFlight) {
  options_.batch_size = kBatchRows;  // A batch is a flight, and an epoch.
  auto sink = open();
  for (uint64_t n = 1; n <= 5; ++n) write(*sink, n, n);
  proxy_->refuse_connections(true);
  end_sessions();
  go_back(3);
  proxy_->refuse_connections(false);
  std::ignore = sink->write(batch(6));
  expect_lost(sink->flush(), 3);
}

TEST_F(LostEpochsTest, AreNoticedByAFlightWhoseAnswerWasLost) {
  auto sink = open();
  for (uint64_t n = 1; n <= 5; ++n) write(*sink, n, n);
  lose_the_answer();
  ASSERT_TRUE(sink->write(batch(6)));
  ASSERT_TRUE(test::eventually([&] { return proxy_->fired(); }));
  ASSERT_TRUE(test::eventually([&] { return scalar("SELECT count(*) FROM t") == "60"; }));
  go_back(4);
  proxy_->refuse_connections(false);
  expect_lost(sink->flush(), 4);
}

// Nothing that was acknowledged is lost if only the flight under way is.
TEST_F(LostEpochsTest, OneThatWasNotAcknowledgedIsWrittenAgain) {
  auto sink = open();
  for (uint64_t n = 1; n <= 5; ++n) write(*sink, n, n);
  lose_the_answer();
  ASSERT_TRUE(sink->write(batch(6)));
  ASSERT_TRUE(test::eventually([&] { return proxy_->fired(); }));
  ASSERT_TRUE(test::eventually([&] { return scalar("SELECT count(*) FROM t") == "60"; }));
  go_back(5);
  proxy_->refuse_connections(false);
  const Status flushed = sink->flush();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  expect_once(6);
}

TEST_F(ExactlyOnceTest, CutsAtEveryByteOfTheAnswersWriteEverythingOnce) {
  options_.transaction_size = kBatchRows;
  int cuts = 0;
  uint64_t written = 0;
  for (uint64_t bytes = 0; bytes < 600; bytes += 5) {
    auto sink = open();
    ASSERT_EQ(sink->durable_position(), written);
    proxy_->cut_after_bytes(Side::kBackend, bytes);
    write(*sink, written + 1, written + 3);
    if (HasFatalFailure()) return;
    written += 3;
    cuts += proxy_->fired() ? 1 : 0;
    EXPECT_EQ(sink->metrics().possible_duplicates, 0U);
    proxy_->cut_after_bytes(Side::kBackend, UINT64_MAX);
    ASSERT_TRUE(sink->close());
  }
  EXPECT_GT(cuts, 30);
  expect_once(written);
}

TEST_F(ExactlyOnceTest, BackendsThatDieAtAnyTimeLoseAndDoubleNothing) {
  auto sink = open();
  std::atomic<bool> done = false;
  std::thread killer([&] {
    while (!done) {
      std::this_thread::sleep_for(std::chrono::milliseconds(15));
      shared_server().sql(
          "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
          "'pgsink/test' AND datname = '" +
          database_ + "'");
    }
  });
  constexpr uint64_t kBatches = 400;
  for (uint64_t n = 1; n <= kBatches; ++n) {
    ASSERT_TRUE(sink->write(batch(n)));
    if (n % 10 == 0) std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  const Status flushed = sink->flush();
  done = true;
  killer.join();
  ASSERT_TRUE(flushed) << flushed.error().to_string();
  EXPECT_GT(sink->metrics().connections_opened, 3U);
  expect_once(kBatches);
}

/// A host that is killed again and again, and each time goes on from what the database says.
TEST_F(ExactlyOnceTest, AHostKilledAtAnyTimeGoesOnWhereTheDatabaseIs) {
  constexpr uint64_t kBatches = 300;
  options_.parallelism = 2;
  options_.partition_by = "hash(id)";
  uint64_t position = 0;
  int kills = 0;
  for (; position < kBatches && kills < 200; ++kills) {
    // The first ones never come to their end, however fast the machine is.
    const uint64_t last = kills < 5 ? 40 * (kills + 1U) : kBatches;
    const pid_t child = fork();
    if (child == 0) {
      auto sink = Sink::open(options_, batch(0).schema());
      if (!sink) _exit(2);
      for (uint64_t n = (*sink)->durable_position() + 1; n <= last; ++n) {
        if (!(*sink)->write(batch(n))) _exit(3);
      }
      while (last < kBatches) pause();
      _exit((*sink)->close() ? 0 : 4);
    }
    ASSERT_GT(child, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + kills % 17 * 3));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
    }
    if (scalar("SELECT to_regclass('pgsink_epochs') IS NOT NULL") == "t") {
      const std::string least = scalar("SELECT min(host_position) FROM pgsink_epochs");
      if (!least.empty()) position = std::stoull(least);
    }
  }
  auto sink = open();
  if (sink->durable_position() < kBatches) {
    write(*sink, sink->durable_position() + 1, kBatches);
  }
  EXPECT_GT(kills, 2);
  expect_once(kBatches);
}

// ---- proofs ------------------------------------------------------------------------------------

TEST_F(ExactlyOnceTest, ProofsComeBackWithThePositionsOfAllLanes) {
  options_.parallelism = 2;
  options_.partition_by = "hash(id)";
  {
    const auto sink = open();
    ASSERT_TRUE(sink);
    EXPECT_TRUE(sink->resume_points().empty());
    for (uint64_t n = 1; n <= 3; ++n) {
      RecordBatch rows = batch(n);
      rows.position_proof = "proof '" + std::to_string(n) + "'";
      ASSERT_TRUE(sink->write(std::move(rows)));
    }
    ASSERT_TRUE(sink->close());
  }
  sql("UPDATE pgsink_epochs SET host_position = 2, host_proof = 'proof ''2''' WHERE lane = 1");
  const auto sink = open();
  ASSERT_TRUE(sink);
  const std::vector<HostPosition> expected{{2, "proof '2'"}, {3, "proof '3'"}};
  EXPECT_EQ(sink->resume_points(), expected);
  EXPECT_EQ(sink->durable_position(), 2U);
}

TEST_F(ExactlyOnceTest, ProofThatCannotBeStoredIsRefused) {
  const auto sink = open();
  ASSERT_TRUE(sink);
  for (const std::string& proof :
       {std::string(RecordBatch::kProofBytesMax + 1, 'x'), std::string("a\0b", 3),
        std::string("\xc3\xa9"), std::string("line\n")}) {
    RecordBatch rows = batch(1);
    rows.position_proof = proof;
    const Status refused = sink->write(std::move(rows));
    ASSERT_FALSE(refused) << proof;
    EXPECT_EQ(refused.error().code, Errc::kUsage);
    EXPECT_NE(refused.error().message.find("position_proof"), std::string::npos);
  }
  RecordBatch rows = batch(1);
  rows.position_proof = std::string(RecordBatch::kProofBytesMax, '~');
  EXPECT_TRUE(sink->write(std::move(rows)));
  EXPECT_TRUE(sink->close());
  expect_once(1);
}

TEST_F(ExactlyOnceTest, PositionsBelongToTheTable) {
  write(*open(), 1, 2);
  const std::string writer = scalar("SELECT writer FROM pgsink_epochs");
  sql("DROP TABLE t; CREATE TABLE t (id bigint)");
  const auto refused = Sink::open(options_, batch(0).schema());
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotResume) << refused.error().to_string();
  EXPECT_EQ(scalar("SELECT writer FROM pgsink_epochs"), writer)
      << "a sink that cannot go on fences nobody";
  sql("DELETE FROM pgsink_epochs");
  write(*open(), 1, 2);
  expect_once(2);
}

}  // namespace
}  // namespace pgsink
