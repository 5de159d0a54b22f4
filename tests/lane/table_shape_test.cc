// Tables that change while they are written: whatever the path and the promise, rows go on as the
// types of now have them or are rejected by them, and what cannot be followed is said.

#include "pgsink/plan/table_shape.h"

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/patience.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::shared_server;
using testing::HasSubstr;

constexpr int64_t kRows = 1'000;  // Of a batch: 200 for each of five partitions.

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

enum class Way : uint8_t { kCopy, kInsertSeries, kSeries, kArrays, kStaged, kLeaves };
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
    if (way != Way::kInsertSeries) options_.copy_batch_size = 100'000;
    options_.partition_copy_min_rows = kRows / 5;
    options_.retry_backoff_ms = 1;
    if (keyed_) {
      options_.write_mode = WriteMode::kUpsert;
      options_.conflict_columns = {"id"};
    }
    if (way == Way::kArrays) options_.lock_timeout_ms = 60'000;  // A setting: so BEGIN and COMMIT.
    if (way != Way::kSeries && way != Way::kArrays) {
      options_.use_copy = way != Way::kInsertSeries;
    }
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
  /// Writes, changes the table, writes again.
  Status write_around(Sink& sink, const std::string& change) {
    const Status before = write(sink, 0);
    EXPECT_TRUE(before) << before.error().to_string();
    sql(change);
    return write(sink, kRows);
  }
  /// All rows arrive, as they were given.
  void expect_followed(const std::string& change) {
    auto sink = open();
    ASSERT_NE(sink, nullptr);
    const Status after = write_around(*sink, change);
    ASSERT_TRUE(after) << after.error().to_string();
    expect_all(2 * kRows);
    EXPECT_EQ(sink->metrics().rejected_rows, 0U);
    EXPECT_EQ(sink->metrics().retry_count, 0U);
  }
  void expect_all(int64_t count) {
    EXPECT_EQ(scalar("SELECT concat(count(*), ' ', count(DISTINCT id)) FROM t"),
              std::to_string(count) + " " + std::to_string(count));
    EXPECT_EQ(scalar("SELECT count(*) FROM t WHERE v <> id OR n <> id + 0.125"), "0");
  }
  /// The sink stops and says `expected`; nothing of what came after the change is there.
  void expect_stop(const std::string& change, const std::string& expected) {
    auto sink = open();
    ASSERT_NE(sink, nullptr);
    const Status after = write_around(*sink, change);
    ASSERT_FALSE(after);
    EXPECT_THAT(after.error().message, HasSubstr(expected));
    EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(kRows));
    EXPECT_EQ(scalar("SELECT count(*) FROM pg_prepared_xacts WHERE database = current_database()"),
              "0");
  }
  bool counts_positions() const { return std::get<Promise>(GetParam()) >= Promise::kExactlyOnce; }

  bool partitioned_ = false, keyed_ = false;
  std::string database_;
  SinkOptions options_;
};

TEST_P(TableShapeTest, AnotherTypeOfTheSameWidth) {
  expect_followed("ALTER TABLE t ALTER v TYPE float8");
}

TEST_P(TableShapeTest, AnotherWidthIsNoRowsFault) {
  options_.dead_letter_table = "dl";
  expect_followed("ALTER TABLE t ALTER v TYPE int");
}

TEST_P(TableShapeTest, AnotherKindOfType) { expect_followed("ALTER TABLE t ALTER v TYPE numeric"); }

TEST_P(TableShapeTest, AnotherOrderOfColumns) {
  expect_followed(
      "ALTER TABLE t ADD COLUMN w bigint; UPDATE t SET w = v; ALTER TABLE t DROP COLUMN v; "
      "ALTER TABLE t RENAME w TO v");
}

TEST_P(TableShapeTest, ANarrowerModifierRejects) {
  expect_stop("ALTER TABLE t ALTER n TYPE numeric(20,1)", "1000.1250");
}

TEST_P(TableShapeTest, ANarrowerModifierRejectsIntoDeadLetters) {
  options_.dead_letter_table = "dl";
  auto sink = open();
  const Status after = write_around(*sink, "ALTER TABLE t ALTER n TYPE numeric(20,1)");
  ASSERT_TRUE(after) << after.error().to_string();
  EXPECT_EQ(scalar("SELECT count(*) FROM t"), std::to_string(kRows));
  EXPECT_EQ(scalar("SELECT count(DISTINCT \"row\"->>'id') FROM dl"), std::to_string(kRows));
  EXPECT_EQ(sink->metrics().rejected_rows, static_cast<uint64_t>(kRows));
}

/// What was rejected by the types of before is no dead letter, not even if all of a transaction is,
/// nor does it count as one.
TEST_P(TableShapeTest, AWiderTypeTakesWhatTheOldOneRejects) {
  sql("ALTER TABLE t ALTER v TYPE smallint");
  options_.dead_letter_table = "dl";
  auto sink = open();
  ASSERT_TRUE(write(*sink, 0, 10));
  sql("ALTER TABLE t ALTER v TYPE bigint");
  const Status after = write(*sink, 40'000);
  ASSERT_TRUE(after) << after.error().to_string();
  expect_all(kRows + 10);
  EXPECT_EQ(scalar("SELECT count(*) FROM dl"), "0");
  EXPECT_EQ(sink->metrics().rejected_rows, 0U);
}

TEST_P(TableShapeTest, WhatIsTakenAfterAllIsNoReject) {
  sql("ALTER TABLE t ALTER v TYPE smallint");
  options_.dead_letter_table = "dl";
  options_.max_rejects = 3;
  auto sink = open();
  uint64_t position = 0;
  const auto put = [&](int64_t first) -> Status {
    RecordBatch batch = items(first, 2);
    batch.position = ++position;
    if (auto written = sink->write(std::move(batch)); !written) return written;
    return sink->flush();
  };
  for (int i = 0; i < 4; ++i) {
    ASSERT_TRUE(put(10 * i));
    sql("ALTER TABLE t ALTER v TYPE bigint");
    const Status wide = put(40'000);
    ASSERT_TRUE(wide) << wide.error().to_string();
    sql("DELETE FROM t WHERE id >= 40000; ALTER TABLE t ALTER v TYPE smallint");
  }
  EXPECT_EQ(scalar("SELECT count(*) FROM dl"), "0");
}

TEST_P(TableShapeTest, AnotherTableOfThatName) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, 0));
  sql("DROP TABLE t");
  make_table();
  sql("ALTER TABLE t ALTER v TYPE float8, ADD COLUMN more int");
  const Status after = write(*sink, kRows);
  if (counts_positions()) {
    ASSERT_FALSE(after);
    EXPECT_EQ(scalar("SELECT count(*) FROM t"), "0");
    EXPECT_THAT(after.error().message,
                HasSubstr("it was dropped and recreated, or another table took its name"));
    return;
  }
  ASSERT_TRUE(after) << after.error().to_string();
  expect_all(kRows);
}

TEST_P(TableShapeTest, NoTableAnyMore) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, 0));
  sql("DROP TABLE t");
  const Status after = write(*sink, kRows);
  ASSERT_FALSE(after);
  EXPECT_THAT(after.error().message, HasSubstr("it was dropped or renamed"));
}

TEST_P(TableShapeTest, AColumnThatIsGone) {
  expect_stop("ALTER TABLE t DROP COLUMN n", "it has no column \"n\" that the input has");
}

TEST_P(TableShapeTest, ATypeThatTheValuesCannotBecome) {
  expect_stop("ALTER TABLE t ALTER v TYPE inet USING NULL", "column \"v\" was bigint, is now inet");
}

TEST_P(TableShapeTest, AColumnThatTheInputMustFill) {
  expect_stop(
      "ALTER TABLE t ADD COLUMN more int NOT NULL DEFAULT 1; "
      "ALTER TABLE t ALTER more DROP DEFAULT",
      "\"more\"");
}

TEST_P(TableShapeTest, ColumnsThatAreNotSentMayChange) {
  auto sink = open();
  ASSERT_TRUE(write(*sink, 0));
  sql("ALTER TABLE t ADD COLUMN more text DEFAULT 'x'");
  ASSERT_TRUE(write(*sink, kRows));
  sql("ALTER TABLE t ALTER more TYPE varchar(5), ALTER v SET DEFAULT 7, ALTER n SET NOT NULL");
  ASSERT_TRUE(write(*sink, 2 * kRows));
  expect_all(3 * kRows);
  EXPECT_EQ(sink->metrics().failed_writes, 0U);
}

/// The staging table gets other types than the rows are encoded for, and the target has its own
/// again when they arrive there.
TEST_P(TableShapeTest, AChangeThatIsUndoneBeforeTheRowsGetThere) {
  options_.batch_size = 100;
  if (options_.use_copy == true) options_.copy_batch_size = 100;
  options_.transaction_size = 4 * kRows;
  auto sink = open();
  sql("ALTER TABLE t ALTER v TYPE float8");
  ASSERT_TRUE(sink->write(items(0, 1000)));
  if (std::get<Way>(GetParam()) == Way::kStaged && !counts_positions()) {
    ASSERT_TRUE(test::eventually([&] {
      return scalar("SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%BEGIN%COPY%'") != "0";
    }));
  }
  if (std::get<Way>(GetParam()) == Way::kCopy || partitioned_) {
    ASSERT_TRUE(sink->flush());  // An open COPY would keep the type as it is.
  }
  sql("ALTER TABLE t ALTER v TYPE bigint");
  const Status written = write(*sink, 1000);
  ASSERT_TRUE(written) << written.error().to_string();
  expect_all(1000 + kRows);
}

std::string case_name(const testing::TestParamInfo<Case>& info) {
  static constexpr std::array<const char*, 6> kWays{"Copy",   "InsertSeries", "Series",
                                                    "Arrays", "Staged",       "Leaves"};
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
        Case{Way::kInsertSeries, Promise::kAtLeastOnce}, Case{Way::kSeries, Promise::kAtLeastOnce},
        Case{Way::kArrays, Promise::kAtLeastOnce}, Case{Way::kArrays, Promise::kOneSnapshot},
        Case{Way::kArrays, Promise::kExactlyOnce}, Case{Way::kArrays, Promise::kTwoPhase},
        Case{Way::kStaged, Promise::kAtLeastOnce}, Case{Way::kStaged, Promise::kExactlyOnce},
        Case{Way::kLeaves, Promise::kAtLeastOnce}, Case{Way::kLeaves, Promise::kTwoPhase}),
    case_name);

}  // namespace
}  // namespace pgsink
