// ColumnArrays: whether the keys of its rows ascend.

#include <limits>

#include <pgproto/oid.h>

#include <pgsink/batch_of.h>
#include <pgsink/encode/rows/column_arrays.h>

#include <gtest/gtest.h>

namespace pgsink {
namespace {

namespace oid = pgproto::oid;

struct Row {
  std::optional<int64_t> wide;
  std::optional<int32_t> narrow;
};

constexpr int64_t kLeast = std::numeric_limits<int64_t>::min();
constexpr int64_t kGreatest = std::numeric_limits<int64_t>::max();
constexpr OrderedField kWide{.column = 0, .is_signed = true};
constexpr OrderedField kNarrow{.column = 1, .is_signed = true};

RecordBatch batch(std::vector<Row> rows) {
  return batch_of(std::move(rows), column("wide", &Row::wide), column("narrow", &Row::narrow));
}

class ColumnArraysTest : public ::testing::Test {
 protected:
  ColumnArraysTest() : arrays_(make()) {}

  static ColumnArrays make() {
    const RecordBatch like = batch({});
    const Schema& schema = *like.schema();
    auto arrays = ColumnArrays::create(
        {{0, schema[0], "wide", oid::kInt8, -1}, {1, schema[1], "narrow", oid::kInt4, -1}}, {});
    EXPECT_TRUE(arrays);
    return std::move(*arrays);
  }
  void append(std::vector<Row> rows) {
    const RecordBatch given = batch(std::move(rows));
    std::vector<Rejection> rejected;
    arrays_.append(given, {.begin = 0, .count = given.row_count()}, rejected);
    EXPECT_TRUE(rejected.empty());
  }
  bool ascending(std::vector<Row> rows, std::vector<OrderedField> key) {
    arrays_.clear();
    append(std::move(rows));
    return arrays_.ascending(key);
  }

  ColumnArrays arrays_;
};

TEST_F(ColumnArraysTest, NumbersAscendAcrossZero) {
  EXPECT_TRUE(ascending(
      {{kLeast, 0}, {-256, 0}, {-1, 0}, {0, 0}, {255, 0}, {256, 0}, {kGreatest, 0}}, {kWide}));
  EXPECT_FALSE(ascending({{-1, 0}, {-2, 0}}, {kWide}));
  EXPECT_FALSE(ascending({{1, 0}, {-1, 0}}, {kWide}));
  EXPECT_FALSE(ascending({{256, 0}, {255, 0}}, {kWide}));
}

TEST_F(ColumnArraysTest, AKeyThatComesTwiceDoesNotAscend) {
  EXPECT_FALSE(ascending({{1, 0}, {2, 0}, {2, 0}, {3, 0}}, {kWide}));
}

TEST_F(ColumnArraysTest, ANullIsNotOrdered) {
  EXPECT_FALSE(ascending({{std::nullopt, 0}, {1, 0}}, {kWide}));
  EXPECT_FALSE(ascending({{1, 0}, {std::nullopt, 0}}, {kWide}));
  EXPECT_FALSE(ascending({{std::nullopt, 0}, {std::nullopt, 0}}, {kWide}));
}

TEST_F(ColumnArraysTest, TheFirstColumnCountsMost) {
  EXPECT_TRUE(ascending({{1, 2}, {1, 3}, {2, -5}}, {kWide, kNarrow}));
  EXPECT_FALSE(ascending({{1, 2}, {1, 3}, {2, -5}}, {kNarrow, kWide}));
  EXPECT_FALSE(ascending({{1, 2}, {1, 2}}, {kWide, kNarrow}));
}

TEST_F(ColumnArraysTest, BytesWithoutASignCompareAsSuch) {
  const std::vector<Row> rows{{0, 0}, {kGreatest, 0}, {-1, 0}};
  EXPECT_TRUE(ascending(rows, {{.column = 0, .is_signed = false}}));
  EXPECT_FALSE(ascending(rows, {kWide}));
}

TEST_F(ColumnArraysTest, NoRowsAscendAndNoKeyDoesNot) {
  EXPECT_TRUE(ascending({}, {kWide}));
  EXPECT_TRUE(ascending({{7, 7}}, {kWide}));
  EXPECT_FALSE(ascending({{1, 1}, {2, 2}}, {}));
}

TEST_F(ColumnArraysTest, WhatIsExpectedChangesNoByte) {
  std::vector<Row> rows;
  for (int64_t i = 0; i < 5000; ++i) {
    rows.push_back({.wide = i % 7 == 0 ? std::nullopt : std::optional(i), .narrow = 1});
  }
  append(rows);
  const pgproto::Bytes whole = arrays_.array(0);
  const std::vector<std::byte> before(whole.begin(), whole.end());
  for (const size_t expected : {size_t{1}, size_t{300}, rows.size(), 3 * rows.size()}) {
    arrays_ = make();
    arrays_.expect(expected);
    append(rows);
    EXPECT_TRUE(std::ranges::equal(arrays_.array(0), before)) << expected;
  }
}

}  // namespace
}  // namespace pgsink
