// on_rounding = 'round': what a value becomes in a column that cannot hold it exactly, compared
// with what the server's own assignment makes of the same value.

#include <cmath>
#include <limits>
#include <random>

#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::ArrowNode;
using test::CopyTable;
using test::Encoded;
using test::Nullable;

constexpr size_t kRows = 800;

const std::string& database() {
  static const std::string name = test::shared_server().create_database("rounding", true);
  return name;
}

Encoded encode_column(const ArrowNode& column, const CopyTable& table, bool rounds) {
  const RecordBatch batch = test::import_columns({ArrowNode(column).named("c0")});
  std::vector<EncodeColumn> columns = test::encode_columns(batch, table.columns());
  columns[0].rules.rounds = rounds;
  auto encoder = RowEncoder::create(columns, table.types());
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  return test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr});
}

/// Writes the column to `type`, which holds it exactly, lets the server assign that to `narrow`,
/// and expects the encoder to make the same of it, and to reject what the server does. A float
/// whose shortest decimal form fits stays that: the server's cast would cut it to 15 or to 6
/// digits.
void expect_as_assigned(const ArrowNode& column, const std::string& type,
                        const std::string& narrow) {
  SCOPED_TRACE(type + " to " + narrow);
  CopyTable exact(test::shared_server(), database(), "exact", {type});
  const Encoded whole = encode_column(column, exact, false);
  ASSERT_TRUE(whole.rejected.empty()) << whole.rejected[0].error.to_string();
  ASSERT_EQ(exact.copy(whole.tuples), "");
  const test::SqlRows expected = test::shared_server().sql(
      "SET timezone = 'UTC'; CREATE OR REPLACE FUNCTION fits(v " + type +
          ") RETURNS bool LANGUAGE plpgsql AS $$ BEGIN"
          " RETURN '" +
          type + "' IN ('real', 'double precision') AND '" + narrow +
          "' LIKE 'numeric%' AND v::text::numeric = v::text::" + narrow +
          "; EXCEPTION WHEN OTHERS THEN RETURN false; END $$;"
          "CREATE TEMP TABLE assigned (id serial, w " +
          narrow +
          ");"
          "CREATE OR REPLACE FUNCTION assign(v " +
          type +
          ") RETURNS text LANGUAGE plpgsql AS $$ DECLARE t text; BEGIN"
          " UPDATE assigned SET w = v RETURNING w::text INTO t; RETURN t;"
          " EXCEPTION WHEN OTHERS THEN RETURN '!'; END $$; INSERT INTO assigned VALUES (1);"
          "SELECT CASE WHEN fits(c0) THEN c0::text::" +
          narrow +
          "::text ELSE assign(c0) END FROM (SELECT c0, position_ FROM exact ORDER BY position_ "
          "OFFSET 0) q",
      database());
  CopyTable table(test::shared_server(), database(), "rounded", {narrow});
  const Encoded encoded = encode_column(column, table, true);
  ASSERT_EQ(table.copy(encoded.tuples), "");
  const test::SqlRows rows = table.rows();
  size_t next = 0, rejected = 0, wrong = 0;
  for (size_t i = 0; i < expected.size() && wrong < 8; ++i) {
    const bool left_out = rejected < encoded.rejected.size() && encoded.rejected[rejected].row == i;
    const std::string got = left_out ? "!" : rows.at(next++)[0].value_or("NULL");
    if (left_out) ++rejected;
    if (got == expected[i][0].value_or("NULL")) continue;
    ++wrong;
    ADD_FAILURE() << "row " << i << ": " << got << ", the server " << *expected[i][0] << " of "
                  << test::shared_server().scalar(
                         "SELECT c0 FROM exact ORDER BY position_ OFFSET " + std::to_string(i) +
                             " LIMIT 1",
                         database());
  }
}

std::mt19937_64& random_bits() {
  static std::mt19937_64 engine(20261130);
  return engine;
}
uint64_t below(uint64_t end) { return random_bits()() % end; }

/// Numbers of every size, halves and near halves among them.
Nullable<double> doubles() {
  Nullable<double> values{0.0,   -0.0,    0.5,      -0.5,         1.5,
                          2.5,   0.005,   1.005,    2.675,        0.125,
                          0.375, 32767.5, -32768.5, 2147483647.5, 9.5e18,
                          1e300, 5e-324,  1e-40,    1e39,         3.4028235677973366e38};
  while (values.size() < kRows) {
    const double mantissa = static_cast<double>(below(2'000'000'000)) - 1e9;
    const double value = below(3) == 0 ? mantissa / 2 : mantissa;
    values.emplace_back(value * std::pow(10.0, static_cast<double>(below(24)) - 16));
  }
  return values;
}

TEST(Rounding, DoublesAsTheServerAssignsThem) {
  const ArrowNode column = test::arrow_fixed("g", doubles());
  for (const char* type : {"numeric(10,2)", "numeric(30,12)", "numeric(4,0)", "real", "smallint",
                           "integer", "bigint"}) {
    expect_as_assigned(column, "double precision", type);
  }
}

TEST(Rounding, SinglesAsTheServerAssignsThem) {
  Nullable<float> values;
  for (const auto& value : doubles()) {
    if (std::fabs(*value) < 1e38) values.emplace_back(static_cast<float>(*value));
  }
  const ArrowNode column = test::arrow_fixed("f", values);
  for (const char* type : {"numeric(10,2)", "numeric(20,9)", "smallint", "integer", "bigint"}) {
    expect_as_assigned(column, "real", type);
  }
}

struct Wide {
  int64_t low;
  int64_t high;
};

TEST(Rounding, DecimalsAsTheServerAssignsThem) {
  Nullable<Wide> values{
      Wide{0, 0},      Wide{5, 0},      Wide{-5, -1},      Wide{99'995, 0},
      Wide{49'999, 0}, Wide{50'000, 0}, Wide{-50'000, -1}, Wide{9'999'999'999'995, 0}};
  while (values.size() < kRows) {
    auto low = static_cast<int64_t>(random_bits()() >> below(64));
    if (low < 0) low = -(low + 1);
    if (below(3) == 0) low = low / 100 * 100 + 50;
    const bool negative = below(2) == 0 && low != 0;
    values.emplace_back(Wide{negative ? -low : low, negative ? -1 : 0});
  }
  const ArrowNode column = test::arrow_fixed("d:38,5,128", values);
  for (const char* type : {"numeric(12,2)", "numeric(20,4)", "numeric(5,0)", "smallint", "integer",
                           "bigint", "real", "double precision"}) {
    expect_as_assigned(column, "numeric(38,5)", type);
  }
  if (test::shared_server().version() >= 150000) {
    expect_as_assigned(column, "numeric(38,5)", "numeric(9,-3)");
  }
}

TEST(Rounding, IntegersAsTheServerAssignsThem) {
  Nullable<int64_t> values{std::numeric_limits<int64_t>::max(), std::numeric_limits<int64_t>::min(),
                           16'777'217, 9'007'199'254'740'993};
  while (values.size() < kRows) {
    values.emplace_back(static_cast<int64_t>(random_bits()()) >> below(64));
  }
  const ArrowNode column = test::arrow_fixed("l", values);
  expect_as_assigned(column, "bigint", "real");
  expect_as_assigned(column, "bigint", "double precision");
  if (test::shared_server().version() >= 150000) {
    expect_as_assigned(column, "bigint", "numeric(10,-2)");
  }
}

TEST(Rounding, TimesAsTheServerAssignsThem) {
  constexpr int64_t kFirst = -200'000'000'000'000'000, kDay = 86'400'000'000;
  Nullable<int64_t> stamps{0,        500'000,    -500'000, 946'684'800'500'000, 946'684'799'500'000,
                           kDay - 1, kDay - 500, -1};
  Nullable<int64_t> times{0, kDay, kDay - 1, 500'000, 499'999};
  Nullable<int64_t> spans{0, -500'000, 500'000, -499'999};
  while (stamps.size() < kRows) {
    const int64_t unit = below(3) == 0 ? 500 : 1;
    stamps.emplace_back((kFirst + static_cast<int64_t>(below(400'000'000'000'000'000))) / unit *
                        unit);
    times.emplace_back(static_cast<int64_t>(below(kDay)) / unit * unit);
    spans.emplace_back((static_cast<int64_t>(random_bits()()) >> below(40)) / unit * unit / 2);
  }
  const ArrowNode column = test::arrow_fixed("tsu:", stamps);
  for (const char* type : {"timestamp(0)", "timestamp(3)", "timestamp(5)", "date"}) {
    expect_as_assigned(column, "timestamp", type);
  }
  expect_as_assigned(test::arrow_fixed("tsu:UTC", stamps), "timestamptz", "timestamptz(2)");
  expect_as_assigned(test::arrow_fixed("ttu", times), "time", "time(1)");
  for (const char* type : {"interval(0)", "interval(3)", "interval day", "interval hour",
                           "interval day to minute", "interval second(2)", "interval year"}) {
    expect_as_assigned(test::arrow_fixed("tDu", spans), "interval", type);
  }
}

/// "2024-01-01 00:00:00.123456789" as the server reads it.
TEST(Rounding, NanosecondsAsTheServerReadsTheirText) {
  Nullable<int64_t> stamps{500, 1'500, 2'500, -500, -1'500, 999'999'999, 499, 501};
  while (stamps.size() < kRows) {
    stamps.emplace_back((static_cast<int64_t>(random_bits()()) >> (1 + below(50))) / 500 * 500);
  }
  CopyTable texts(test::shared_server(), database(), "texts", {"text"});
  const ArrowNode column = test::arrow_fixed("tsn:", stamps);
  ASSERT_EQ(texts.copy(encode_column(column, texts, false).tuples), "");
  CopyTable table(test::shared_server(), database(), "rounded", {"timestamp"});
  const Encoded encoded = encode_column(column, table, true);
  ASSERT_TRUE(encoded.rejected.empty());
  ASSERT_EQ(table.copy(encoded.tuples), "");
  const test::SqlRows expected = test::shared_server().sql(
      "SELECT c0::timestamp::text FROM texts ORDER BY position_", database());
  EXPECT_EQ(table.rows(), expected);
}

}  // namespace
}  // namespace pgsink
