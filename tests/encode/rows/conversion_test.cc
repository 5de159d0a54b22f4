// Every pair of the type table, through a real server: what the encoder wrote must read back as the
// text that the case says, and as the bytes that the server itself would have written.

#include <set>

#include <pgsink/encode/base/wire_type.h>
#include <pgsink/encode/rows/row_encoder.h>
#include <pgsink/encode/rows/type_table.h>

#include <gtest/gtest.h>

#include "support/conversion_cases.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::ConversionCase;
using test::CopyTable;
using test::Encoded;

const std::string& database() {
  static const std::string name = [] {
    std::string created = test::shared_server().create_database("conversion", true);
    test::shared_server().sql(test::conversion_types_sql(), created);
    return created;
  }();
  return name;
}

std::string describe(const ConversionCase& test_case, const RecordBatch& batch) {
  return encode::source_name(batch.schema()->at(0)) + " → " + test_case.sql_type;
}

std::string hex(const std::vector<std::byte>& bytes) {
  std::string text;
  for (const std::byte b : bytes) {
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) >> 4];
    text += "0123456789abcdef"[std::to_integer<unsigned>(b) & 15];
  }
  return text;
}

/// Checks the rejections against the expected ones; returns the expected texts of the other rows.
std::vector<std::optional<std::string>> check_rejections(const ConversionCase& test_case,
                                                         const std::vector<Rejection>& rejected) {
  std::vector<std::optional<std::string>> stored;
  size_t next = 0;
  for (size_t row = 0; row < test_case.expected.size(); ++row) {
    const auto& expected = test_case.expected[row];
    if (!expected || !expected->starts_with("!")) {
      stored.push_back(expected);
      continue;
    }
    const std::string wanted = expected->substr(1);
    if (next == rejected.size()) {
      ADD_FAILURE() << "row " << row << " was not rejected: " << wanted;
      stored.emplace_back("?");
      continue;
    }
    const Rejection& rejection = rejected[next++];
    EXPECT_EQ(rejection.row, row) << rejection.error.to_string();
    EXPECT_EQ(rejection.column, 0U);
    EXPECT_EQ(rejection.error.code, Errc::kRowRejected);
    EXPECT_EQ(rejection.error.column, "c0");
    EXPECT_EQ(rejection.error.sqlstate.view(), wanted.substr(0, 5)) << rejection.error.to_string();
    const std::string place = "column \"c0\" (";
    EXPECT_TRUE(rejection.error.message.starts_with(place)) << rejection.error.message;
    if (wanted.size() > 6) {
      EXPECT_NE(rejection.error.message.find(wanted.substr(6)), std::string::npos)
          << rejection.error.message << "\n  lacks: " << wanted.substr(6);
    }
  }
  for (; next < rejected.size(); ++next) ADD_FAILURE() << rejected[next].error.to_string();
  return stored;
}

Encoded encode_case(const ConversionCase& test_case, const CopyTable& table, int64_t front,
                    size_t out_bytes, Kernels kernels = Kernels::kBest) {
  test::ArrowNode column = test::with_offset(test_case.column, front);
  column.name = "c0";
  const RecordBatch batch = test::import_columns({std::move(column)}, test_case.options);
  auto encoder =
      RowEncoder::create(test::encode_columns(batch, table.columns()), table.types(), kernels);
  if (!encoder) {
    ADD_FAILURE() << encoder.error().to_string();
    return {};
  }
  return test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}, out_bytes);
}

void run_case(const ConversionCase& test_case) {
  CopyTable table(test::shared_server(), database(), "conversion", {test_case.sql_type});
  const Encoded encoded = encode_case(test_case, table, 0, 65536);
  const auto expected = check_rejections(test_case, encoded.rejected);
  ASSERT_EQ(table.copy(encoded.tuples), "");
  const test::SqlRows rows = table.rows();
  ASSERT_EQ(rows.size(), expected.size());
  for (size_t i = 0; i < rows.size(); ++i) EXPECT_EQ(rows[i][0], expected[i]) << "stored row " << i;
  // The server lays jsonb out anew: other spaces, sorted keys.
  if (!test_case.normalised && !test_case.sql_type.starts_with("jsonb")) {
    EXPECT_EQ(hex(encoded.tuples), hex(table.binary()));
  }
  // The processor makes no difference …
  const Encoded portable = encode_case(test_case, table, 0, 65536, Kernels::kPortable);
  EXPECT_EQ(hex(portable.tuples), hex(encoded.tuples)) << "without vector code";
  EXPECT_EQ(portable.rejected.size(), encoded.rejected.size()) << "without vector code";
  // … nor do Arrow offsets, nor the size of the buffer.
  for (const auto& [front, out_bytes] : {std::pair<int64_t, size_t>{1, 65536}, {13, 200}, {0, 1}}) {
    const Encoded again = encode_case(test_case, table, front, out_bytes);
    EXPECT_EQ(hex(again.tuples), hex(encoded.tuples))
        << "offset " << front << ", out " << out_bytes;
    EXPECT_EQ(again.rejected.size(), encoded.rejected.size());
  }
}

/// Whether the server has the type as the cases know it: scales that are negative or larger than
/// the precision, and the whole range of interval, came with 15.
bool is_as_since_15(const ConversionCase& test_case) {
  return test::shared_server().version() >= 150000 ||
         (test_case.sql_type != "numeric(3,-2)" && test_case.sql_type != "numeric(3,5)" &&
          test_case.sql_type != "interval");
}

void run_cases(const std::vector<ConversionCase>& cases) {
  for (const ConversionCase& test_case : cases) {
    test::ArrowNode column = test_case.column;
    column.name = "c0";
    const RecordBatch batch = test::import_columns({column}, test_case.options);
    if (!is_as_since_15(test_case)) continue;
    ASSERT_EQ(batch.row_count(), test_case.expected.size()) << describe(test_case, batch);
    SCOPED_TRACE(describe(test_case, batch));
    run_case(test_case);
  }
}

TEST(Conversion, NumbersArriveUnchangedOrAreRejected) { run_cases(test::number_cases()); }
TEST(Conversion, DatesAndTimesArriveUnchangedOrAreRejected) { run_cases(test::temporal_cases()); }
TEST(Conversion, TextArrivesAsItIsOrParsedOrIsRejected) { run_cases(test::text_cases()); }
TEST(Conversion, AnythingBecomesTextAndJson) { run_cases(test::render_cases()); }
TEST(Conversion, ListsAndStructsBecomeArraysAndComposites) { run_cases(test::nested_cases()); }

// The list of cases is complete: no pair of the table without one that was accepted.
TEST(Conversion, CasesCoverEveryPairOfTheTable) {
  if (test::shared_server().version() < 150000) return;  // Some cases need PostgreSQL 15.
  std::set<std::pair<encode::SourceClass, encode::TargetKind>> covered;
  for (const ConversionCase& test_case : test::conversion_cases()) {
    const RecordBatch batch = test::import_columns({test_case.column}, test_case.options);
    const CopyTable table(test::shared_server(), database(), "coverage", {test_case.sql_type});
    const auto target = encode::resolve_target(table.columns()[0].oid,
                                               table.columns()[0].type_modifier, table.types());
    ASSERT_TRUE(target) << target.error().to_string();
    const bool accepted =
        std::any_of(test_case.expected.begin(), test_case.expected.end(),
                    [](const auto& text) { return text && !text->starts_with("!"); });
    if (accepted) covered.emplace(encode::source_class(batch.schema()->at(0)), target->kind);
  }
  for (const encode::Conversion& pair : encode::conversions()) {
    // Not by COPY: tests/plan/server_text_test.cc.
    if (pair.target == encode::TargetKind::kInput) continue;
    EXPECT_TRUE(covered.contains({pair.source, pair.target}))
        << encode::source_class_name(pair.source) << " → " << encode::target_kind_name(pair.target);
  }
}

}  // namespace
}  // namespace pgsink
