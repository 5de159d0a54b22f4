// Tables that change while they are written: whatever the path and the promise, no row is committed
// that was encoded for other types, and the error says what has changed.

#include "pgsink/plan/table_shape.h"

#include <thread>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

constexpr int64_t kRows = 5'000;  // Of a batch: 1,000 for each of five partitions.

struct Item {
  int64_t id = 0, v = 0;
  std::string n;
  int64_t part = 0;
};

/// Rows first … first + count - 1.
RecordBatch items(int64_t first, int64_t count = kRows) {
  std::vector<Item> rows;
  for (int64_t id = first; id < first + count; ++id) {
    rows.push_back({.id = id, .v = id, .n = std::to_string(id) + ".1250", .part = id % 5});
  }
  RecordBatch made = batch_of(std::move(rows), column("id", &Item::id), column("v", &Item::v),
                              column("n", &Item::n), column("part", &Item::part));
  made.position = static_cast<uint64_t>(first + count);
  return made;
}

enum class Way : uint8_t { kCopy, kSeries, kArrays, kStaged, kLeaves };
enum class Promise : uint8_t { kAtLeastOnce, kOneSnapshot, kExactlyOnce, kTwoPhase };
using Case = std::tuple<Way, Promise>;

class TableShapeTest : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    const auto [way, promise] = GetParam();
    database_ = shared_server().create_database("shape");
    partitioned_ = way == Way::kLeaves;
    keyed_ = way == Way::kSeries || way == Way::kArrays || way == Way::kStaged;
    make_table();
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.batch_size = 100'000;
    options_.copy_batch_size = 100'000;
    options_.partition_copy_min_rows = 1000;
    options_.retry_backoff_ms = 1;
    if (keyed_) {
      options_.write_mode = WriteMode::kUpsert;
      options_.conflict_columns = {"id"};
    }
    if (way == Way::kArrays) options_.lock_timeout_ms = 60'000;  // A setting: so BEGIN and COMMIT.
    if (way == Way::kStaged) options_.use_copy = true;
    if (promise == Promise::kOneSnapshot) {
      options_.isolation_level = IsolationLevel::kRepeatableRead;
    }
    if (promise == Promise::kExactlyOnce) options_.delivery = Delivery::kExactlyOnce;
    if (promise == Promise::kTwoPhase) options_.use_2pc = true;
    if (promise >= Promise::kExactlyOnce) options_.sink_id = "shape";
  }

  void make_table() {
    const std::string columns = "id bigint, v bigint, n numeric(20,4), part bigint";
    if (!partitioned_) {
      return sql("CREATE TABLE t (" + columns + (keyed_ ? ", PRIMARY KEY (id))" : ")"));
    }
    sql("CREATE TABLE t (" + columns + ") PARTITION BY LIST (part)");
    for (const char* part : {"0", "1", "2", "3", "4"}) {
      sql(std::string("CREATE TABLE t") + part + " PARTITION OF t FOR VALUES IN (" + part + ")");
    }
  }
  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }
  std::unique_ptr<Sink> open() {
    auto sink = Sink::open(options_, items(0, 0).schema());
    EXPECT_TRUE(sink) << (sink ? "" : sink.error().to_string());
    return sink ? std::move(*sink) : nullptr;
  }
  static Status write(Sink& sink, int64_t first, int64_t count = kRows) {
    if (auto written = sink.write(items(first, count)); !written) return written;
    return sink.flush();
  }
  /// Writes, changes the table, writes again: the error says `expected`, and of the second batch
  /// nothing is there.
  void expect_stop(const std::string& change, const std::string& expected, int64_t kept = kRows) {
    auto sink = open();
    ASSERT_NE(sink, nullptr);
    const Status before = write(*sink, 0);
    ASSERT_TRUE(before) << before.error().to_string();
    sql(change);
    const Status after = write(*sink, kRows);
    ASSERT_FALSE(after);
    EXPECT_THAT(after.error().message, HasSubstr(expected));
    EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(kept));
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE v <> id"), "0");
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"),
              "0");
  }

  bool partitioned_ = false, keyed_ = false;
  std::string database_;
  SinkOptions options_;
};

TEST_P(TableShapeTest, AnotherTypeOfTheSameWidth) {
  expect_stop("ALTER TABLE t ALTER v TYPE float8",
              "column \"v\" was bigint, is now double precision");
}

TEST_P(TableShapeTest, ANarrowerModifier) {
  expect_stop("ALTER TABLE t ALTER n TYPE numeric(20,1)",
              "column \"n\" was numeric(20,4), is now numeric(20,1)");
}

TEST_P(TableShapeTest, AnotherWidthIsNoRowsFault) {
  options_.dead_letter_table = "dl";
  expect_stop("ALTER TABLE t ALTER v TYPE int", "column \"v\" was bigint, is now integer");
  EXPECT_EQ(scalar("SELECT count(*) FROM dl"), "0");
}

TEST_P(TableShapeTest, AnotherTableOfThatName) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, 0));
  sql("DROP TABLE t");
  make_table();
  const Status after = write(*sink, kRows);
  ASSERT_FALSE(after);
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
  EXPECT_THAT(after.error().message,
              HasSubstr("it was dropped and recreated, or another table took its name"));
}

TEST_P(TableShapeTest, ColumnsThatAreNotSentMayChange) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, 0));
  sql("ALTER TABLE t ADD COLUMN more text DEFAULT 'x'");
  ASSERT_TRUE(write(*sink, kRows));
  sql("ALTER TABLE t ALTER more TYPE varchar(5), ALTER v SET DEFAULT 7, ALTER n SET NOT NULL");
  ASSERT_TRUE(write(*sink, 2 * kRows));
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE v = id AND n = id + 0.125"),
            std::to_string(3 * kRows));
  EXPECT_EQ(sink->metrics().failed_writes, 0U);
}

/// Changes at any moment of a load. What stops is begun again at the batch that failed; without a
/// key and at least once, rows may be there twice.
TEST_P(TableShapeTest, ChangesDuringALoad) {
  constexpr int64_t kBatches = 40, kBatch = 500;
  std::jthread changes([this](const std::stop_token& stop) {
    // The staging table is made once per session, of the types of that moment. The proof does not
    // look at it: a change there and back again between two transactions goes unseen.
    const int count = std::get<Way>(GetParam()) == Way::kStaged ? 1 : 6;
    for (int i = 0; i < count && !stop.stop_requested(); ++i) {
      sql(std::string("ALTER TABLE t ALTER v TYPE ") + (i % 2 == 0 ? "float8" : "bigint"));
      std::this_thread::sleep_for(std::chrono::milliseconds(5 * (i + 1)));
    }
  });
  options_.batch_size = 100;
  int64_t next = 0;
  for (int opened = 0; next < kBatches && opened < 50; ++opened) {
    auto sink = Sink::open(options_, items(0, 0).schema());
    if (!sink) continue;  // Its types are changing.
    const uint64_t durable = (*sink)->durable_position();
    next = std::max(next, static_cast<int64_t>(durable) / kBatch);
    for (; next < kBatches; ++next) {
      const Status written = write(**sink, next * kBatch, kBatch);
      if (written) continue;
      EXPECT_THAT(written.error().message, HasSubstr("the table changed while it was written"));
      break;
    }
  }
  EXPECT_EQ(next, kBatches);
  EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE v <> id"), "0");
  EXPECT_EQ(scalar("SELECT count(DISTINCT id) FROM t"), std::to_string(kBatches * kBatch));
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  static constexpr std::array<const char*, 5> kWays{"Copy", "Series", "Arrays", "Staged", "Leaves"};
  static constexpr std::array<const char*, 4> kPromises{"AtLeastOnce", "OneSnapshot", "ExactlyOnce",
                                                        "TwoPhase"};
  const auto [way, promise] = info.param;
  return std::string(kWays[static_cast<size_t>(way)]) + kPromises[static_cast<size_t>(promise)];
}

INSTANTIATE_TEST_SUITE_P(
    Ways, TableShapeTest,
    testing::Values(
        Case{Way::kCopy, Promise::kAtLeastOnce}, Case{Way::kCopy, Promise::kOneSnapshot},
        Case{Way::kCopy, Promise::kExactlyOnce}, Case{Way::kCopy, Promise::kTwoPhase},
        Case{Way::kSeries, Promise::kAtLeastOnce}, Case{Way::kArrays, Promise::kAtLeastOnce},
        Case{Way::kArrays, Promise::kOneSnapshot}, Case{Way::kArrays, Promise::kExactlyOnce},
        Case{Way::kArrays, Promise::kTwoPhase}, Case{Way::kStaged, Promise::kAtLeastOnce},
        Case{Way::kStaged, Promise::kExactlyOnce}, Case{Way::kLeaves, Promise::kAtLeastOnce},
        Case{Way::kLeaves, Promise::kTwoPhase}),
    case_name);

}  // namespace
}  // namespace pgsink
