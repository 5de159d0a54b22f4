// atomic = true: all rows up to flush() or close() are one transaction, and no row is kept after it
// was sent.

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"
#include "support/wire_proxy.h"

namespace pgsink {
namespace {

using test::shared_server;
using ::testing::HasSubstr;

struct Row {
  int64_t id = 0;
  std::string text;
};

constexpr int64_t kBatch = 1000;

RecordBatch batch(int64_t first, int64_t bad = -1) {
  std::vector<Row> rows;
  for (int64_t i = first; i < first + kBatch; ++i) {
    rows.push_back({.id = i, .text = i == bad ? "<bad a='' a=''/>" : std::string(100, 'x')});
  }
  return batch_of(std::move(rows), column("id", &Row::id), column("text", &Row::text));
}

class AtomicTest : public ::testing::TestWithParam<WriteMode> {
 protected:
  void SetUp() override {
    database_ = shared_server().create_database("atomic");
    // Only the server's parser knows that XML has no attribute twice.
    sql("CREATE TABLE t (id bigint PRIMARY KEY, text xml)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.write_mode = GetParam();
    options_.atomic = true;
    options_.retry_backoff_ms = 10;
    options_.batch_timeout_ms = 10;
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::string count() { return scalar("SELECT count(*) FROM t"); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, batch(0).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  /// Writes rows until some of them were sent and are not kept any more: a connection that breaks
  /// earlier is replaced, and loses nothing.
  static void begin(Sink& sink, int64_t batches) {
    size_t bytes = 0;
    for (int64_t i = 0; i < batches; ++i) {
      RecordBatch rows = batch(i * kBatch);
      bytes += rows.memory_bytes();
      ASSERT_TRUE(sink.write(std::move(rows)));
    }
    ASSERT_TRUE(test::eventually([&] { return sink.metrics().buffered_bytes < bytes; }));
  }
  void terminate_writer() {
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = 'pgsink/test'");
  }

  std::string database_;
  SinkOptions options_;
};

TEST_P(AtomicTest, NothingIsSeenBeforeTheFlushAndThenAllIs) {
  auto sink = open();
  begin(*sink, 50);
  EXPECT_EQ(count(), "0");
  ASSERT_TRUE(sink->flush());
  EXPECT_EQ(count(), "50000");
  EXPECT_EQ(scalar("SELECT count(DISTINCT xmin::text) FROM t"), "1");
  ASSERT_TRUE(sink->write(batch(50 * kBatch)));
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(count(), "51000");
}

TEST_P(AtomicTest, ALoadOfAnySizeFitsIntoTheBuffer) {
  options_.buffer_bytes = 1 << 20;
  options_.batch_bytes = 1 << 20;
  auto sink = open();
  for (int64_t i = 0; i < 200; ++i) {
    ASSERT_TRUE(sink->write(batch(i * kBatch)));
    ASSERT_LE(sink->metrics().buffered_bytes, size_t{1} << 20);
  }
  EXPECT_EQ(count(), "0");
  ASSERT_TRUE(sink->close());
  EXPECT_EQ(count(), "200000");
  EXPECT_EQ(scalar("SELECT count(DISTINCT xmin::text) FROM t"), "1");
}

TEST_P(AtomicTest, ARowThatTheServerRefusesEndsTheLoad) {
  options_.dead_letter_table = "letters";
  auto sink = open();
  for (int64_t i = 0; i < 20; ++i) std::ignore = sink->write(batch(i * kBatch, 15'500));
  const Status closed = sink->close();
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message, HasSubstr("XML"));
  EXPECT_THAT(closed.error().message, HasSubstr("0 rows are committed"));
  EXPECT_EQ(count(), "0");
  EXPECT_EQ(scalar("SELECT count(*) FROM letters"), "0");
}

TEST_P(AtomicTest, ABrokenConnectionEndsTheLoad) {
  auto sink = open();
  begin(*sink, 20);
  terminate_writer();
  const Status closed = sink->close();
  ASSERT_FALSE(closed);
  EXPECT_THAT(closed.error().message, HasSubstr("0 rows are committed"));
  EXPECT_EQ(count(), "0");
}

TEST_P(AtomicTest, AConnectionThatBreaksBeforeTheFirstRowIsReplaced) {
  auto sink = open();
  terminate_writer();
  ASSERT_TRUE(sink->write(batch(0)));
  const Status closed = sink->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(count(), "1000");
}

TEST_P(AtomicTest, ALostAnswerToCommitIsFoundOut) {
  test::WireProxy proxy(shared_server().socket_dir(), shared_server().port());
  options_.host = "127.0.0.1";
  options_.port = std::to_string(proxy.port());
  options_.ssl_mode = "disable";
  auto sink = open();
  begin(*sink, 20);
  // The server has begun the COPY, and said so.
  ASSERT_TRUE(test::eventually([&] {
    return sink->metrics().buffered_bytes == 0 &&
           scalar(
               "SELECT count(*) FROM pg_stat_progress_copy WHERE datname = current_database()") ==
               "1";
  }));
  // The tags of COPY, of the merge if there is one, and of the proof of the shape come before.
  proxy.set_rule({.side = test::WireProxy::Side::kBackend,
                  .type = 'C',
                  .nth = GetParam() == WriteMode::kInsert ? 3 : 4});
  const Status closed = sink->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_TRUE(proxy.fired());
  EXPECT_EQ(count(), "20000");
  EXPECT_EQ(sink->metrics().possible_duplicates, 0U);
}

INSTANTIATE_TEST_SUITE_P(Modes, AtomicTest,
                         ::testing::Values(WriteMode::kInsert, WriteMode::kUpsert),
                         [](const auto& mode) {
                           return mode.param == WriteMode::kInsert ? "Insert" : "Upsert";
                         });

}  // namespace
}  // namespace pgsink
