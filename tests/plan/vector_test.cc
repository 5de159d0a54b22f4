// Vectors of pgvector, which the server's input functions read: lists of numbers and texts, by
// every path. What arrives is what the server's own cast makes of the list, and a list that the
// type cannot hold without a change is rejected.

#include <array>
#include <cmath>
#include <limits>

#include <pgsink/batch_of.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "pgsink/sink.h"
#include "support/arrow_builder.h"
#include "support/postgres_server.h"

namespace pgsink {
namespace {

using test::arrow_fixed;
using test::arrow_list;
using test::ArrowNode;
using test::shared_server;
using ::testing::HasSubstr;

constexpr double kNan = std::numeric_limits<double>::quiet_NaN();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

/// How the rows travel.
enum class Way { kCopy, kArrays, kStaged };

class VectorTest : public ::testing::TestWithParam<Way> {
 protected:
  void SetUp() override {
    const std::string has = shared_server().scalar(
        "SELECT count(*) FROM pg_available_extensions WHERE name = 'vector'");
    if (has == "0") GTEST_SKIP() << "the server does not have the extension vector (pgvector)";
    database_ = shared_server().create_database("vectors");
    sql("CREATE SCHEMA ext; CREATE EXTENSION vector SCHEMA ext;"
        "ALTER DATABASE " +
        database_ + " SET search_path = public, ext;");
    sql("CREATE TYPE item AS (label text, place vector(2));"
        "CREATE DOMAIN place AS vector(2) CHECK (VALUE <-> '[0,0]' < 10)");
    options_.connection_name = "test";
    options_.host = shared_server().socket_dir();
    options_.port = std::to_string(shared_server().port());
    options_.database = database_;
    options_.username = "postgres";
    options_.table = "t";
    options_.dead_letter_table = "letters";
    if (GetParam() == Way::kArrays) options_.use_copy = false;
    if (GetParam() != Way::kCopy) options_.write_mode = WriteMode::kUpsert;
    if (GetParam() == Way::kStaged) options_.use_copy = true;
  }

  void sql(const std::string& text) { shared_server().sql(text, database_); }
  std::string scalar(const std::string& text) { return shared_server().scalar(text, database_); }

  /// Writes rows 1, 2, … of (id, v) into a new table.
  Status write(const std::string& sql_type, ArrowNode values, size_t count) {
    sql("DROP TABLE IF EXISTS t, letters; CREATE TABLE t (id int PRIMARY KEY, v " + sql_type + ")");
    test::Nullable<int32_t> ids;
    for (size_t i = 1; i <= count; ++i) ids.emplace_back(static_cast<int32_t>(i));
    RecordBatch batch =
        test::import_columns({arrow_fixed("i", ids).named("id"), std::move(values).named("v")});
    auto sink = Sink::open(options_, batch.schema());
    if (!sink) return fail(sink.error());
    if (auto written = (*sink)->write(std::move(batch)); !written) return written;
    return (*sink)->close();
  }
  std::string values() {
    return scalar(
        "SELECT coalesce(string_agg(id || ':' || coalesce(v::text, 'NULL'), ' '"
        " ORDER BY id), '') FROM t");
  }
  /// The rejected rows with what the server says too of their values.
  std::string letters() {
    if (scalar("SELECT to_regclass('letters') IS NULL") == "t") return "";
    return scalar(
        "SELECT coalesce(string_agg(input_row || ':' || sqlstate, ' ' ORDER BY input_row),"
        " '') FROM letters");
  }
  std::string message(int row) {
    return scalar("SELECT message FROM letters WHERE input_row = " + std::to_string(row));
  }

  std::string database_;
  SinkOptions options_;
};

std::string way_name(const ::testing::TestParamInfo<Way>& instance) {
  static constexpr std::array kNames{"Copy", "Arrays", "Staged"};
  return kNames[static_cast<size_t>(instance.param)];
}
INSTANTIATE_TEST_SUITE_P(Ways, VectorTest,
                         ::testing::Values(Way::kCopy, Way::kArrays, Way::kStaged), way_name);

TEST_P(VectorTest, ListsOfEveryKindOfNumberAreWhatTheServersCastMakesOfThem) {
  const test::Nullable<size_t> threes{3, std::nullopt, 3};
  const std::vector<std::pair<ArrowNode, std::string>> lists{
      {arrow_list("+l", threes, arrow_fixed<float>("f", {0.5F, -0.0F, 2048, 0, 1, 65504})),
       "real[]"},
      {arrow_list("+l", threes, arrow_fixed<double>("g", {0.5, -0.0, 2048, 0, 1, 65504})),
       "float8[]"},
      {arrow_list("+L", threes, arrow_fixed<int64_t>("l", {0, -2, 2048, 0, 1, 65504})), "int[]"},
      {arrow_list("+l", threes, arrow_fixed<int64_t>("d:9,2,64", {50, -25, 0, 0, 100, 204800})),
       "numeric[]"},
      {test::arrow_fixed_list(3, {true, false, true},
                              arrow_fixed<float>("f", {0.5F, -1, 2, 0, 0, 0, 0, 1, 65504})),
       "real[]"},
  };
  const std::vector<std::string> arrays{
      "'{0.5,-0,2048}','{0,1,65504}'", "'{0.5,-0,2048}','{0,1,65504}'",
      "'{0,-2,2048}','{0,1,65504}'", "'{0.5,-0.25,0}','{0,1,2048}'", "'{0.5,-1,2}','{0,1,65504}'"};
  for (const std::string type : {"vector", "halfvec", "sparsevec"}) {
    for (size_t i = 0; i < lists.size(); ++i) {
      SCOPED_TRACE(type + " of " + lists[i].second);
      const Status written = write(type + "(3)", lists[i].first, 3);
      ASSERT_TRUE(written) << written.error().to_string();
      EXPECT_EQ(values(),
                scalar("SELECT format('1:%s 2:NULL 3:%s', a[1], a[2]) FROM (SELECT array("
                       "SELECT x::" +
                       lists[i].second + "::" + type + "(3) FROM unnest(ARRAY[" + arrays[i] +
                       "]) WITH ORDINALITY AS u(x, n) ORDER BY n) AS a) AS s"));
      EXPECT_EQ(letters(), "");
    }
  }
}

TEST_P(VectorTest, WhatAVectorCannotHoldIsRejectedAsByTheServer) {
  const ArrowNode lists = arrow_list(
      "+l", {3, 3, 3, 3, 2, 4, 0, 3},
      arrow_fixed<double>("g", {1, 2, 3, 1, kNan, 3, kInfinity, 2, 3,   1, 2, std::nullopt,
                                1, 2, 1, 2, 3,    4, 4,         5, 1e39}));
  for (const std::string type : {"vector", "halfvec", "sparsevec"}) {
    SCOPED_TRACE(type);
    const Status written = write(type + "(3)", lists, 8);
    ASSERT_TRUE(written) << written.error().to_string();
    EXPECT_EQ(values(), "1:" + scalar("SELECT '{1,2,3}'::int[]::" + type));
    EXPECT_EQ(letters(), "2:22000 3:22000 4:22004 5:22000 6:22000 7:22000 8:22003");
    EXPECT_THAT(message(2), HasSubstr("number 2: NaN, which ext." + type));
    EXPECT_THAT(message(4), HasSubstr("number 3: it is NULL, which ext." + type));
    EXPECT_THAT(message(5), HasSubstr("a list of 2 numbers does not fit: ext." + type));
    EXPECT_THAT(message(5), HasSubstr("has 3 dimensions"));
    EXPECT_EQ(scalar("SELECT max(attempts) FROM letters"), "1");
  }
  const Status written =
      write("vector", arrow_list("+l", {0, 1}, arrow_fixed<double>("g", {1})), 2);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values() + " " + letters(), "2:[1] 1:22000");
}

TEST_P(VectorTest, NumbersBecomeTheNearestThatTheTypeHoldsAsByTheServersCast) {
  const ArrowNode lists =
      arrow_list("+l", {2, 2, 2, 2, 2},
                 arrow_fixed<double>("g", {0.1, 0.25, 0.123456789012, 1, 16'777'217, 1, 2049, 1,
                                           1.000000059604644775390625, 6e-8}));
  for (const std::string type : {"vector", "sparsevec", "halfvec"}) {
    SCOPED_TRACE(type);
    const Status written = write(type + "(2)", lists, 5);
    ASSERT_TRUE(written) << written.error().to_string();
    const std::string casts = scalar(
        "SELECT coalesce(string_agg(format('%s:%s', n, x::float8[]::" + type +
        "), ' ' ORDER BY n), '') FROM unnest(ARRAY['{0.1,0.25}', '{0.123456789012,1}',"
        " '{16777217,1}', '{2049,1}', '{1.000000059604644775390625,6e-8}']) WITH ORDINALITY AS"
        " u(x, n) WHERE '" +
        type + "' <> 'halfvec' OR n <> 3");
    EXPECT_EQ(values(), casts);
    EXPECT_EQ(letters(), type == "halfvec" ? "3:22003" : "");  // Beyond a half's range.
  }
}

TEST_P(VectorTest, TextGoesThroughTheInputFunction) {
  const test::Nullable<std::string> texts{"[1,2.5,-3]",       "[1,2]", "{1:2}/3", std::nullopt,
                                          " [ 0.1 , 1e-3,0]", "x"};
  for (const std::string type : {"vector", "halfvec", "sparsevec"}) {
    SCOPED_TRACE(type);
    const Status written = write(type + "(3)", test::arrow_text("u", texts), texts.size());
    ASSERT_TRUE(written) << written.error().to_string();
    const bool sparse = type == "sparsevec";
    EXPECT_EQ(values(), sparse
                            ? "3:{1:2}/3 4:NULL"
                            : scalar("SELECT '1:[1,2.5,-3] 4:NULL 5:' || (CAST('[0.1,1e-3,0]' AS " +
                                     type + "))::text"));
    EXPECT_EQ(letters(), sparse ? "1:22P02 2:22P02 5:22P02 6:22P02" : "2:22000 3:22P02 6:22P02");
  }
}

TEST_P(VectorTest, StandInArraysCompositesAndDomains) {
  Status written =
      write("vector(2)[]",
            arrow_list("+l", {2, 1, 0, 2},
                       arrow_list("+l", {2, std::nullopt, 2, 2, 3},
                                  arrow_fixed<float>("f", {1, 2, 3, 4, 5, 6, 7, 8, 9}))),
            4);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values(), R"(1:{"[1,2]",NULL} 2:{"[3,4]"} 3:{})");
  EXPECT_EQ(letters(), "4:22000");
  EXPECT_THAT(message(4), HasSubstr("element 2: a list of 3 numbers"));

  const auto places = [] {
    return arrow_list("+l", {2, 1, std::nullopt}, arrow_fixed<double>("g", {1.5, -2, 1}));
  };
  written = write("item",
                  test::arrow_struct({true, true, true},
                                     {test::arrow_text("u", {"a \"b\"", "c", "d"}).named("label"),
                                      places().named("place")}),
                  3);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(scalar("SELECT string_agg((v).label || coalesce((v).place::text, ' NULL'), ' ' ORDER BY"
                   " id) FROM t"),
            "a \"b\"[1.5,-2] d NULL");
  EXPECT_EQ(letters(), "2:22000");

  written =
      write("place",
            arrow_list("+l", {2, 2, std::nullopt}, arrow_fixed<double>("g", {1.5, -2, 99, 1})), 3);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values() + " " + letters(), "1:[1.5,-2] 3:NULL 2:23514");
}

TEST_P(VectorTest, NumbersMayBeInADictionaryOrInAVectorOfTheProgram) {
  Status written = write("sparsevec(2)",
                         arrow_list("+l", {2, 2, std::nullopt},
                                    test::arrow_dictionary({1, 0, 1, std::nullopt},
                                                           arrow_fixed<double>("g", {0.0, 2.5}))),
                         3);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(values() + " " + letters(), "1:{1:2.5}/2 3:NULL 2:22004");

  struct Embedded {
    int32_t id = 0;
    std::vector<float> v;
  };
  sql("DROP TABLE t; CREATE TABLE t (id int PRIMARY KEY, v vector(3))");
  RecordBatch batch = batch_of(std::vector<Embedded>{{1, {0.5F, 2, -3}}, {2, {}}, {3, {0, 0, 1}}},
                               column("id", &Embedded::id), column("v", &Embedded::v));
  auto sink = Sink::open(options_, batch.schema());
  ASSERT_TRUE(sink) << sink.error().to_string();
  ASSERT_TRUE((*sink)->write(std::move(batch)));
  const Status closed = (*sink)->close();
  ASSERT_TRUE(closed) << closed.error().to_string();
  EXPECT_EQ(values(), "1:[0.5,2,-3] 3:[0,0,1]");
}

// More numbers than one block of the encoder.
TEST_P(VectorTest, EmbeddingsArriveWhole) {
  constexpr size_t kDimensions = 1536;
  test::Nullable<float> numbers;
  for (size_t i = 0; i < 3 * kDimensions; ++i) {
    numbers.emplace_back(std::sin(static_cast<float>(i)));
  }
  numbers[kDimensions + 1000] = std::nullopt;
  const Status written = write(
      "vector(1536)",
      arrow_list("+l", {kDimensions, kDimensions, kDimensions}, arrow_fixed("f", numbers)), 3);
  ASSERT_TRUE(written) << written.error().to_string();
  EXPECT_EQ(letters(), "2:22004");
  EXPECT_THAT(message(2), HasSubstr("number 1001: "));
  for (const size_t row : {size_t{1}, size_t{3}}) {
    const auto seen = shared_server().sql(
        "SELECT unnest(v::real[])::float8 FROM t WHERE id = " + std::to_string(row), database_);
    ASSERT_EQ(seen.size(), kDimensions);
    for (size_t i = 0; i < kDimensions; ++i) {
      ASSERT_EQ(std::stof(*seen[i][0]), *numbers[(row - 1) * kDimensions + i]);
    }
  }
}

TEST_P(VectorTest, AListOfAnythingElseIsRefusedAtOpen) {
  const Status written = write("vector(1)", arrow_list("+l", {1}, test::arrow_text("u", {"1"})), 1);
  ASSERT_FALSE(written);
  EXPECT_EQ(written.error().code, Errc::kColumnType);
  EXPECT_THAT(written.error().message, HasSubstr("it takes lists of numbers, or text"));
}

}  // namespace
}  // namespace pgsink
