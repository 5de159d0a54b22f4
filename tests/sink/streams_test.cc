// Streams: many sinks, one table, each record exactly once, whoever has the stream.

#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <sys/wait.h>
#include <thread>
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

constexpr uint64_t kBatchRows = 10;

struct Row {
  std::string stream;
  int64_t id = 0;
};

/// Batch n of a stream holds its rows 10(n-1) … 10n-1, and ends before position 10n.
RecordBatch batch(const std::string& stream, uint64_t n) {
  std::vector<Row> rows;
  for (uint64_t i = 0; n > 0 && i < kBatchRows; ++i) {
    rows.push_back({stream, static_cast<int64_t>((n - 1) * kBatchRows + i)});
  }
  RecordBatch made =
      batch_of(std::move(rows), column("stream", &Row::stream), column("id", &Row::id));
  made.stream = stream;
  made.position = n * kBatchRows;
  return made;
}

class StreamsTest : public ::testing::Test {
 protected:
  void SetUp() override {
    PostgresServer& server = shared_server();
    database_ = server.create_database("streams");
    sql("CREATE TABLE t (stream text, id bigint)");
    proxy_ = std::make_unique<WireProxy>(server.socket_dir(), server.port());
    options_.connection_name = "test";
    options_.host = "127.0.0.1";
    options_.port = std::to_string(proxy_->port());
    options_.ssl_mode = "disable";
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.delivery = Delivery::kExactlyOnce;
    options_.streams = true;
    options_.sink_id = "orders";
    options_.batch_size = static_cast<int64_t>(kBatchRows);
    options_.retry_backoff_ms = 5;
    options_.connection_timeout_ms = 60'000;
    options_.max_retries = 1000;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch("", 0).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  static uint64_t claim(Sink& sink, const std::string& stream) {
    const auto positions = sink.claim(std::vector<StreamStart>{{.stream = stream}});
    EXPECT_TRUE(positions) << (positions ? "" : positions.error().to_string());
    return positions ? positions->at(0).position : 0;
  }
  static Status release(Sink& sink, const std::string& stream, ReleaseMode mode) {
    return sink.release(std::vector{stream}, mode);
  }
  static void write(Sink& sink, const std::string& stream, uint64_t first, uint64_t last) {
    for (uint64_t n = first; n <= last; ++n) {
      const Status written = sink.write(batch(stream, n));
      ASSERT_TRUE(written) << written.error().to_string();
    }
  }
  static void flush(Sink& sink) {
    const Status flushed = sink.flush();
    ASSERT_TRUE(flushed) << flushed.error().to_string();
  }
  /// Every row of the first batches of a stream is there, once, and the table of positions agrees.
  void expect_once(const std::string& stream, uint64_t batches) {
    const std::string rows = std::to_string(batches * kBatchRows);
    EXPECT_EQ(scalar("SELECT count(*) || ' ' || count(DISTINCT id) || ' ' || "
                     "coalesce(max(id) + 1, 0) FROM t WHERE stream = '" +
                     stream + "'"),
              rows + " " + rows + " " + rows);
    EXPECT_EQ(stored(stream), rows);
  }
  std::string stored(const std::string& stream) {
    return scalar("SELECT position FROM pgsink_offsets WHERE stream = '" + stream + "'");
  }

  std::string database_;
  std::unique_ptr<WireProxy> proxy_;
  SinkOptions options_;
};

TEST_F(StreamsTest, EachStreamGoesOnWhereItsLastCommitEnded) {
  {
    auto sink = open();
    EXPECT_EQ(claim(*sink, "a"), 0U);
    EXPECT_EQ(claim(*sink, "b"), 0U);
    write(*sink, "a", 1, 5);
    write(*sink, "b", 1, 3);
    write(*sink, "a", 6, 6);
    flush(*sink);
    EXPECT_EQ(sink->stream_position("a"), 60U);
    EXPECT_EQ(sink->stream_position("b"), 30U);
    EXPECT_EQ(sink->stream_position("c"), 0U);
    EXPECT_EQ(sink->durable_position(), 0U);
    ASSERT_TRUE(sink->close());
  }
  auto sink = open();
  const auto positions =
      sink->claim(std::vector<StreamStart>{{.stream = "b"}, {.stream = "a"}, {"c", 40}});
  ASSERT_TRUE(positions) << positions.error().to_string();
  ASSERT_EQ(positions->size(), 3U);
  EXPECT_EQ(positions->at(0).position, 60U);  // By name.
  EXPECT_EQ(positions->at(1).position, 30U);
  EXPECT_EQ(positions->at(2).position, 40U);
  write(*sink, "a", 5, 8);  // A replay from before.
  write(*sink, "b", 4, 4);
  write(*sink, "c", 5, 5);
  flush(*sink);
  EXPECT_EQ(sink->metrics().rows_written, 4 * kBatchRows);
  ASSERT_TRUE(sink->close());
  expect_once("a", 8);
  expect_once("b", 4);
  EXPECT_EQ(stored("c"), "50");
}

TEST_F(StreamsTest, TheFirstClaimStoresWhereAStreamBegins) {
  auto sink = open();
  ASSERT_TRUE(sink->claim(std::vector<StreamStart>{{"late", 70}}));
  ASSERT_TRUE(sink->close());
  sink = open();
  const auto again = sink->claim(std::vector<StreamStart>{{"late", 900}});
  ASSERT_TRUE(again);
  EXPECT_EQ(again->at(0).position, 70U);
}

TEST_F(StreamsTest, OneTransactionMovesAllStreamsThatItHas) {
  options_.batch_timeout_ms = 60'000;
  options_.batch_size = 1000;
  auto sink = open();
  for (const char* stream : {"a", "b", "c"}) claim(*sink, stream);
  for (uint64_t n = 1; n <= 3; ++n) {
    for (const char* stream : {"a", "b", "c"}) write(*sink, stream, n, n);
  }
  flush(*sink);
  EXPECT_EQ(scalar("SELECT count(DISTINCT xmin::text) FROM t"), "1");
  EXPECT_EQ(scalar("SELECT count(DISTINCT xmin::text) FROM pgsink_offsets"), "1");
  for (const char* stream : {"a", "b", "c"}) expect_once(stream, 3);
}

TEST_F(StreamsTest, WhatIsWrongOfAStreamIsRefused) {
  auto sink = open();
  EXPECT_NE(sink->write(batch("a", 1)).error().message.find("not claimed"), std::string::npos);
  EXPECT_EQ(release(*sink, "a", ReleaseMode::kDrain).error().code, Errc::kUsage);
  claim(*sink, "a");
  write(*sink, "a", 1, 4);
  const Status back = sink->write(batch("a", 4));
  ASSERT_FALSE(back);
  EXPECT_EQ(back.error().code, Errc::kUsage);
  EXPECT_NE(back.error().message.find("40 follows 40"), std::string::npos) << back.error().message;
  flush(*sink);
  claim(*sink, "a");
  write(*sink, "a", 3, 3);
  RecordBatch across = batch("a", 6);  // Batches 4 to 6 in one.
  const Status refused = sink->write(std::move(across));
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("both sides of 40"), std::string::npos)
      << refused.error().message;
  EXPECT_EQ(sink->claim(std::vector<StreamStart>{{"", 0}}).error().code, Errc::kUsage);
  EXPECT_EQ(sink->claim(std::vector<StreamStart>{{"x", 0}, {"x", 0}}).error().code, Errc::kUsage);
  ASSERT_TRUE(sink->close());

  options_.streams = false;
  auto plain = open();
  EXPECT_EQ(plain->claim(std::vector<StreamStart>{{"a", 0}}).error().code, Errc::kUsage);
  EXPECT_NE(plain->write(batch("a", 1)).error().message.find("streams = true"), std::string::npos);
}

TEST_F(StreamsTest, AStreamThatIsTakenOverFencesItsFormerOwnerAndOnlyThatStream) {
  auto first = open();
  for (const char* stream : {"a", "b"}) claim(*first, stream);
  write(*first, "a", 1, 3);
  write(*first, "b", 1, 3);
  flush(*first);

  auto second = open();
  EXPECT_EQ(claim(*second, "a"), 30U);
  write(*first, "a", 4, 5);
  write(*first, "b", 4, 5);
  const Status fenced = first->flush();
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, Errc::kFenced);
  EXPECT_NE(
      fenced.error().message.find("stream \"a\" of sink \"orders\" is fenced by \"pgsink/test"),
      std::string::npos)
      << fenced.error().message;
  EXPECT_EQ(first->write(batch("a", 6)).error().code, Errc::kFenced);
  EXPECT_EQ(first->status().error().code, Errc::kFenced);
  EXPECT_EQ(first->stream_status("a").error().code, Errc::kFenced);
  EXPECT_TRUE(first->stream_status("b"));
  EXPECT_EQ(first->stream_position("a"), 30U);

  // The other stream goes on, and once the first one is given up nothing is wrong.
  write(*first, "b", 6, 6);
  ASSERT_TRUE(release(*first, "a", ReleaseMode::kDiscard));
  flush(*first);
  EXPECT_EQ(first->stream_position("b"), 60U);
  write(*second, "a", 4, 6);
  flush(*second);
  expect_once("a", 6);
  expect_once("b", 6);
  ASSERT_TRUE(first->close());
  ASSERT_TRUE(second->close());
}

TEST_F(StreamsTest, AReleasedStreamIsDurableAndGoesOnElsewhere) {
  options_.batch_timeout_ms = 60'000;
  options_.batch_size = 1000;
  auto first = open();
  claim(*first, "a");
  write(*first, "a", 1, 7);
  ASSERT_TRUE(release(*first, "a", ReleaseMode::kDrain));
  expect_once("a", 7);
  EXPECT_EQ(first->write(batch("a", 8)).error().code, Errc::kUsage);
  auto second = open();
  EXPECT_EQ(claim(*second, "a"), 70U);
  write(*second, "a", 8, 9);
  flush(*second);
  EXPECT_EQ(claim(*first, "a"), 90U);
  write(*first, "a", 10, 10);
  flush(*first);
  expect_once("a", 10);
}

TEST_F(StreamsTest, WhatIsDiscardedIsReadAgainByTheNextOwner) {
  options_.batch_timeout_ms = 60'000;
  options_.batch_size = 1000;
  auto sink = open();
  claim(*sink, "a");
  claim(*sink, "b");
  write(*sink, "a", 1, 2);
  flush(*sink);
  write(*sink, "a", 3, 6);
  write(*sink, "b", 1, 2);
  ASSERT_TRUE(release(*sink, "a", ReleaseMode::kDiscard));
  // The same process may be the next owner.
  EXPECT_EQ(claim(*sink, "a"), 20U);
  write(*sink, "a", 3, 4);
  flush(*sink);
  EXPECT_EQ(sink->metrics().buffered_bytes, 0U);
  expect_once("a", 4);
  expect_once("b", 2);
}

TEST_F(StreamsTest, AnOpenTransactionOfTheFormerOwnerIsWaitedForAndThenEnded) {
  auto first = open();
  claim(*first, "a");
  write(*first, "a", 1, 2);
  flush(*first);
  auto second = open();
  // Its next transaction stays open after its guard: its rows wait for this lock.
  std::thread locker([&] {
    try {
      shared_server().sql("BEGIN; LOCK t IN EXCLUSIVE MODE; SELECT pg_sleep(600)", database_);
    } catch (const std::exception&) {  // It is ended below.
    }
  });
  ASSERT_TRUE(test::eventually([&] {
    return scalar(
               "SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND mode = "
               "'ExclusiveLock' AND granted") == "1";
  }));
  write(*first, "a", 3, 3);
  ASSERT_TRUE(test::eventually([&] {
    return scalar("SELECT count(*) FROM pg_locks WHERE relation = 't'::regclass AND NOT granted") ==
           "1";
  }));
  const uint64_t opened = first->metrics().connections_opened;
  EXPECT_EQ(claim(*second, "a"), 20U);
  // It connects again within milliseconds. The claim is in the queue by then, or it would have to
  // end one connection after another.
  EXPECT_LE(first->metrics().connections_opened - opened, 2U);
  sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE '%pg_sleep(600)' "
      "AND pid <> pg_backend_pid()");
  locker.join();
  write(*second, "a", 3, 4);
  flush(*second);
  const Status fenced = first->flush();
  ASSERT_FALSE(fenced);
  EXPECT_EQ(fenced.error().code, Errc::kFenced) << fenced.error().to_string();
  expect_once("a", 4);
}

TEST_F(StreamsTest, ManyLanesKeepTheOrderOfEachStream) {
  sql("DROP TABLE t; CREATE TABLE t (stream text, id bigint, seq bigserial)");
  options_.parallelism = 3;
  auto sink = open();
  for (int s = 0; s < 12; ++s) claim(*sink, std::to_string(s));
  for (uint64_t n = 1; n <= 20; ++n) {
    for (int s = 0; s < 12; ++s) write(*sink, std::to_string(s), n, n);
  }
  flush(*sink);
  ASSERT_TRUE(sink->close());
  for (int s = 0; s < 12; ++s) expect_once(std::to_string(s), 20);
  EXPECT_EQ(scalar("SELECT count(*) FROM (SELECT id, lag(id) OVER (PARTITION BY stream ORDER BY "
                   "seq) AS before FROM t) AS o WHERE id <> before + 1"),
            "0");
}

TEST_F(StreamsTest, AnUpsertKeepsTheOrderOfItsKeys) {
  sql("DROP TABLE t; CREATE TABLE t (stream text PRIMARY KEY, id bigint)");
  options_.write_mode = WriteMode::kUpsert;
  options_.parallelism = 2;
  auto sink = open();
  for (const char* stream : {"a", "b"}) claim(*sink, stream);
  for (uint64_t n = 1; n <= 50; ++n) {
    for (const char* stream : {"a", "b"}) write(*sink, stream, n, n);
  }
  flush(*sink);
  EXPECT_EQ(scalar("SELECT string_agg(stream || id, ' ' ORDER BY stream) FROM t"), "a499 b499");
}

TEST_F(StreamsTest, InputThatNeverBecameRowsIsADeadLetterOfTheTransactionThatPassesIt) {
  options_.dead_letter_table = "letters";
  auto sink = open();
  claim(*sink, "a");
  const auto with_rejected = [](RecordBatch made, const std::string& text) {
    RejectedInput input;
    input.number = made.position;
    input.text = text;
    input.error.message = "it is not a row";
    made.rejected.push_back(std::move(input));
    return made;
  };
  ASSERT_TRUE(sink->write(with_rejected(batch("a", 1), "one")));
  RecordBatch nothing_else = batch("a", 0);  // No row before the position.
  nothing_else.position = 15;
  ASSERT_TRUE(sink->write(with_rejected(std::move(nothing_else), "two")));
  flush(*sink);
  EXPECT_EQ(scalar("SELECT string_agg(source_position || ' ' || (\"row\" ->> 'input'), ', ' ORDER "
                   "BY source_position) FROM letters"),
            "10 one, 15 two");
  EXPECT_EQ(sink->metrics().rejected_rows, 2U);
  EXPECT_EQ(stored("a"), "15");

  // Whoever goes on from a position before has them once more, and only once.
  auto second = open();
  EXPECT_EQ(claim(*second, "a"), 15U);
  RecordBatch third = batch("a", 0);
  third.position = 16;
  ASSERT_TRUE(second->write(with_rejected(std::move(third), "three")));
  RecordBatch late = batch("a", 0);
  late.position = 17;
  ASSERT_TRUE(sink->write(with_rejected(std::move(late), "not ours")));
  EXPECT_EQ(sink->flush().error().code, Errc::kFenced);
  flush(*second);
  EXPECT_EQ(scalar("SELECT count(*) FROM letters"), "3");
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "10");
  ASSERT_TRUE(second->close());

  options_.dead_letter_table.clear();
  auto strict = open();
  claim(*strict, "a");
  RecordBatch refused = batch("a", 0);
  refused.position = 20;
  const Status nowhere = strict->write(with_rejected(std::move(refused), "four"));
  ASSERT_FALSE(nowhere);
  EXPECT_EQ(nowhere.error().code, Errc::kRowRejected);
}

TEST_F(StreamsTest, PositionsBelongToOneTable) {
  {
    auto sink = open();
    claim(*sink, "a");
    write(*sink, "a", 1, 1);
    ASSERT_TRUE(sink->close());
  }
  sql("DROP TABLE t; CREATE TABLE t (stream text, id bigint)");
  auto sink = open();
  const auto refused = sink->claim(std::vector<StreamStart>{{.stream = "a"}});
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kCannotResume);
  EXPECT_TRUE(sink->claim(std::vector<StreamStart>{{.stream = "b"}}));
}

TEST_F(StreamsTest, TransactionsThatTheServerHasLostAreNoticed) {
  auto sink = open();
  claim(*sink, "a");
  write(*sink, "a", 1, 5);
  flush(*sink);
  proxy_->refuse_connections(true);
  sql("SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE application_name = "
      "'pgsink/test' AND datname = current_database()");
  sql("UPDATE pgsink_offsets SET position = 30; DELETE FROM t WHERE id >= 30");
  proxy_->refuse_connections(false);
  std::ignore = sink->write(batch("a", 6));
  const Status lost = sink->flush();
  ASSERT_FALSE(lost);
  EXPECT_EQ(lost.error().code, Errc::kOutcomeUnknown) << lost.error().to_string();
  auto next = open();
  EXPECT_EQ(claim(*next, "a"), 30U);
  write(*next, "a", 4, 6);
  flush(*next);
  expect_once("a", 6);
}

/// How often two owners race; tests/soak sets more.
int races() {
  const char* given = std::getenv("PGSINK_STREAM_RACES");
  return given == nullptr ? 50 : std::atoi(given);
}

// ---- faults ------------------------------------------------------------------------------------

TEST_F(StreamsTest, CutsAtEveryByteOfTheAnswersWriteEverythingOnce) {
  options_.transaction_size = static_cast<int64_t>(kBatchRows);
  int cuts = 0;
  uint64_t written = 0;
  for (uint64_t bytes = 0; bytes < 600; bytes += 5) {
    auto sink = open();
    ASSERT_EQ(claim(*sink, "a"), written * kBatchRows);
    ASSERT_EQ(claim(*sink, "b"), written * kBatchRows);
    proxy_->cut_after_bytes(Side::kBackend, bytes);
    for (uint64_t n = written + 1; n <= written + 3; ++n) {
      write(*sink, "a", n, n);
      write(*sink, "b", n, n);
    }
    flush(*sink);
    if (HasFatalFailure()) return;
    written += 3;
    cuts += proxy_->fired() ? 1 : 0;
    EXPECT_EQ(sink->metrics().possible_duplicates, 0U);
    proxy_->cut_after_bytes(Side::kBackend, UINT64_MAX);
    ASSERT_TRUE(sink->close());
  }
  EXPECT_GT(cuts, 30);
  expect_once("a", written);
  expect_once("b", written);
}

/// A cut before or after each message that carries or follows the guard, on either side, while the
/// old backend may live on, and while another process takes one of the streams.
TEST_F(StreamsTest, CutsAtEveryMessageOfTheGuardWhileAStreamIsTakenOver) {
  options_.transaction_size = static_cast<int64_t>(kBatchRows);
  uint64_t written = 0;
  int fired = 0;
  const int messages = races() > 50 ? 8 : 2;
  for (const auto& [side, type] : {std::pair{Side::kFrontend, 'Q'},
                                   {Side::kFrontend, 'd'},
                                   {Side::kFrontend, 'c'},
                                   {Side::kBackend, 'C'},
                                   {Side::kBackend, 'G'},
                                   {Side::kBackend, 'Z'}}) {
    for (const bool pass_on : {false, true}) {
      for (const auto effect : {WireProxy::Effect::kCut, WireProxy::Effect::kOrphan}) {
        for (int nth = 1; nth <= messages; ++nth) {
          auto first = open();
          claim(*first, "a");
          claim(*first, "b");
          proxy_->set_rule(
              {.side = side, .type = type, .nth = nth, .pass_on = pass_on, .effect = effect});
          for (uint64_t n = written + 1; n <= written + 3; ++n) {
            write(*first, "a", n, n);
            write(*first, "b", n, n);
          }
          auto second = open();
          const uint64_t taken = claim(*second, "b") / kBatchRows;
          ASSERT_GE(taken, written);
          write(*second, "b", taken + 1, written + 3);
          flush(*second);
          const Status flushed = first->flush();
          if (!flushed) {
            ASSERT_EQ(flushed.error().code, Errc::kFenced) << flushed.error().to_string();
            ASSERT_TRUE(release(*first, "b", ReleaseMode::kDiscard));
            flush(*first);
          }
          if (HasFatalFailure()) return;
          EXPECT_EQ(first->stream_position("a"), (written + 3) * kBatchRows);
          fired += proxy_->fired() ? 1 : 0;
          proxy_->set_rule({.nth = 1'000'000});  // None.
          proxy_->drop_orphans();
          written += 3;
          ASSERT_EQ(
              scalar("SELECT string_agg(n::text, ' ') FROM (SELECT count(*) AS n FROM t GROUP "
                     "BY stream) AS s"),
              std::to_string(written * kBatchRows) + " " + std::to_string(written * kBatchRows))
              << type << nth << pass_on << static_cast<int>(effect);
        }
      }
    }
  }
  EXPECT_GT(fired, 30);
  expect_once("a", written);
  expect_once("b", written);
}

TEST_F(StreamsTest, OwnersThatRaceForOneStreamLoseAndDoubleNothing) {
  std::atomic<uint64_t> claims = 0, fenced = 0;
  const auto own = [&](uint64_t seed) {
    auto sink = open();
    ASSERT_TRUE(sink);
    while (claims.fetch_add(1) < static_cast<uint64_t>(races()) * 2) {
      uint64_t next = claim(*sink, "a") / kBatchRows + 1;
      const uint64_t count = 1 + (seed = seed * 6364136223846793005U + 1442695040888963407U) % 6;
      for (uint64_t i = 0; i < count; ++i, ++next) {
        const Status written = sink->write(batch("a", next));
        if (written) continue;
        ASSERT_EQ(written.error().code, Errc::kFenced) << written.error().to_string();
        ++fenced;
        break;
      }
      if (seed % 3 == 0) {
        const Status flushed = sink->flush();
        ASSERT_TRUE(flushed || flushed.error().code == Errc::kFenced)
            << flushed.error().to_string();
        fenced += flushed ? 0 : 1;
      }
    }
    std::ignore = release(*sink, "a", ReleaseMode::kDiscard);
  };
  std::thread first([&] { own(1); });
  std::thread second([&] { own(2); });
  first.join();
  second.join();
  auto sink = open();
  const uint64_t batches = claim(*sink, "a") / kBatchRows;
  EXPECT_GT(batches, 10U);
  EXPECT_TRUE(races() <= 50 || fenced > 50U);  // Few of them may never meet.
  std::printf("%llu claims, %llu times fenced\n", static_cast<unsigned long long>(claims),
              static_cast<unsigned long long>(fenced));
  expect_once("a", batches);
}

/// Processes that are killed again and again, each of which takes streams of the others.
TEST_F(StreamsTest, ProcessesKilledAtAnyTimeLoseAndDoubleNothing) {
  constexpr uint64_t kBatches = 40;
  constexpr int kStreams = 4;
  const auto done = [&] {
    return scalar("SELECT to_regclass('pgsink_offsets') IS NOT NULL") == "t" &&
           scalar("SELECT count(*) FROM pgsink_offsets WHERE position = " +
                  std::to_string(kBatches * kBatchRows)) == std::to_string(kStreams);
  };
  int kills = 0;
  for (; kills < 300 && !done(); ++kills) {
    const pid_t child = fork();
    if (child == 0) {
      auto sink = Sink::open(options_, batch("", 0).schema());
      if (!sink) _exit(2);
      for (int s = kills; s < kills + kStreams; ++s) {
        const std::string stream = std::to_string(s % kStreams);
        const auto at = (*sink)->claim(std::vector<StreamStart>{{.stream = stream}});
        if (!at) _exit(3);
        for (uint64_t n = at->at(0).position / kBatchRows + 1; n <= kBatches; ++n) {
          if (!(*sink)->write(batch(stream, n))) _exit(4);
        }
      }
      _exit((*sink)->close() ? 0 : 5);
    }
    ASSERT_GT(child, 0);
    std::this_thread::sleep_for(std::chrono::milliseconds(20 + kills % 17 * 3));
    kill(child, SIGKILL);
    int status = 0;
    ASSERT_EQ(waitpid(child, &status, 0), child);
    if (WIFEXITED(status)) {
      ASSERT_EQ(WEXITSTATUS(status), 0);
    }
  }
  auto sink = open();
  for (int s = 0; s < kStreams; ++s) {
    const std::string stream = std::to_string(s);
    const uint64_t at = claim(*sink, stream) / kBatchRows;
    write(*sink, stream, at + 1, kBatches);
  }
  flush(*sink);
  for (int s = 0; s < kStreams; ++s) expect_once(std::to_string(s), kBatches);
}

}  // namespace
}  // namespace pgsink
