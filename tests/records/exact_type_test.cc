// Texts that the engine's types can hold without rounding.

#include "shell/records/exact_type.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "shell/records/column_samples.h"

namespace pgsink::test {
namespace {

using shell::ColumnSamples;
using shell::ColumnUse;
using shell::ExactType;
using shell::JsonKind;
using shell::JsonReader;
using Kind = ExactType::Kind;

ExactType type(Kind kind, std::string name, int32_t scale = 0) {
  return {.kind = kind, .name = std::move(name), .scale = scale};
}

/// What goes to the engine, or the reason why nothing does.
std::string exact(const ExactType& type, const std::string& text) {
  JsonReader reader;
  auto made = shell::exact_text(type, text, reader);
  return made ? *made : "! " + made.error();
}

TEST(ExactText, NumbersAreNeverRounded) {
  const ExactType integer = type(Kind::kInteger, "BIGINT");
  EXPECT_EQ(exact(integer, " +007 "), "7");
  EXPECT_EQ(exact(integer, "-0"), "0");
  EXPECT_EQ(exact(integer, "3.0"), "3");
  EXPECT_EQ(exact(integer, "1.2e3"), "1200");
  EXPECT_EQ(exact(integer, "1200e-2"), "12");
  EXPECT_EQ(exact(integer, "3.7"), "! '3.7' is not of type BIGINT");
  EXPECT_EQ(exact(integer, "1e-1"), "! '1e-1' is not of type BIGINT");
  EXPECT_EQ(exact(integer, "1e99999999999"), "! '1e99999999999' is not of type BIGINT");
  EXPECT_EQ(exact(integer, "0e99999999999"), "0");
  EXPECT_EQ(exact(integer, "x"), "! 'x' is not of type BIGINT");
  const ExactType decimal = type(Kind::kDecimal, "DECIMAL(18,2)", 2);
  EXPECT_EQ(exact(decimal, "99999999999999.99"), "99999999999999.99");
  EXPECT_EQ(exact(decimal, "1e2"), "100");
  EXPECT_EQ(exact(decimal, "-.500"), "-0.5");
  EXPECT_EQ(exact(decimal, "5."), "5");
  EXPECT_EQ(exact(decimal, "125e-4"), "! '125e-4' has 4 decimals, DECIMAL(18,2) holds 2");
  EXPECT_EQ(exact(decimal, "NaN"), "! 'NaN' is not of type DECIMAL(18,2)");
  const ExactType real = type(Kind::kFloat, "DOUBLE");
  EXPECT_EQ(exact(real, "1e400"), "! '1e400' is out of the range of DOUBLE");
  EXPECT_EQ(exact(real, "1e-400"), "! '1e-400' is out of the range of DOUBLE");
  EXPECT_EQ(exact(real, "0e-400"), "0e-400");
  EXPECT_EQ(exact(type(Kind::kFloat, "FLOAT"), "1e39"), "! '1e39' is out of the range of FLOAT");
}

TEST(ExactText, TimesKeepTheirDecimals) {
  const ExactType timestamp = type(Kind::kTime, "TIMESTAMP", 6);
  EXPECT_EQ(exact(timestamp, "2024-01-01 12:00:00.123456000+02"), "2024-01-01 12:00:00.123456+02");
  EXPECT_EQ(exact(timestamp, "2024-01-01 12:00:00.1234567"),
            "! '2024-01-01 12:00:00.1234567' has 7 decimals of a second, TIMESTAMP holds 6");
  EXPECT_EQ(exact(type(Kind::kTime, "TIMESTAMP_S"), "2024-01-01 12:00:00.0"),
            "2024-01-01 12:00:00");
  EXPECT_EQ(exact(type(Kind::kTime, "TIMESTAMP_S"), "12:00:00.6"),
            "! '12:00:00.6' has 1 decimals of a second, TIMESTAMP_S holds 0");
  const ExactType date = type(Kind::kDate, "DATE");
  EXPECT_EQ(exact(date, "2024-01-31"), "2024-01-31");
  EXPECT_EQ(exact(date, "44-03-15 (BC)"), "44-03-15 (BC)");
  EXPECT_EQ(exact(date, "-infinity"), "-infinity");
  EXPECT_EQ(exact(date, "2024-01-31 10:00"), "! '2024-01-31 10:00' is not of type DATE");
}

TEST(ExactText, NestedTypesTakeJsonWithEveryScalarAsText) {
  ExactType list = type(Kind::kList, "DECIMAL(18,2)[]");
  list.children.push_back(type(Kind::kDecimal, "DECIMAL(18,2)", 2));
  EXPECT_EQ(exact(list, "[ 99999999999999.99 , \"1.5\", null, 1e2]"),
            "[\"99999999999999.99\",\"1.5\",null,\"100\"]");
  EXPECT_EQ(exact(list, "[1.005]"), "! '1.005' has 3 decimals, DECIMAL(18,2) holds 2");
  EXPECT_EQ(exact(list, "{\"a\":1}"), "! '{\"a\":1}' is not of type DECIMAL(18,2)[]");
  EXPECT_EQ(exact(list, "[[1]]"), "! '[1]' is not of type DECIMAL(18,2)");
  ExactType row = type(Kind::kStruct, "STRUCT(a BOOLEAN, b JSON, c VARCHAR)");
  row.names = {"a", "b", "c"};
  row.children = {type(Kind::kBoolean, "BOOLEAN"), type(Kind::kJson, "JSON"),
                  type(Kind::kText, "VARCHAR")};
  EXPECT_EQ(exact(row, R"({"c":1.10,"x":0,"b":{"k": 1.10},"a":true,"c":"\"\u0001é"})"),
            "{\"a\":true,\"b\":{\"k\": 1.10},\"c\":\"\\\"\\u0001é\"}");
  ExactType map = type(Kind::kMap, "MAP(INTEGER, INTEGER)");
  map.children = {type(Kind::kInteger, "INTEGER"), type(Kind::kInteger, "INTEGER")};
  EXPECT_EQ(exact(map, R"({"1":2})"), R"({"1":"2"})");
  EXPECT_EQ(exact(map, R"({"1.5":2})"), "! '1.5' is not of type INTEGER");
}

// ---- types that are found ------------------------------------------------------------------

constexpr ColumnUse kCalculates{.number = true};
constexpr ColumnUse kComputes{.other = true};
constexpr ColumnUse kCalculatesAndPasses{.passed = true, .number = true};
constexpr ColumnUse kComputesAndPasses{.passed = true, .other = true};

std::string found(const ColumnUse& use, const std::vector<std::string>& texts) {
  ColumnSamples samples;
  for (const std::string& text : texts) samples.add_text(text);
  const ExactType type = samples.type(use, false);
  for (const std::string& text : texts) {
    EXPECT_TRUE(!use.passed || shell::prints_as(type, text)) << type.name << " " << text;
    EXPECT_FALSE(exact(type, text).starts_with("!")) << type.name << " " << text;
  }
  return type.name;
}

TEST(ColumnSamples, FindTypesThatKeepWhatIsWritten) {
  for (const ColumnUse& use : {kCalculates, kComputes, kCalculatesAndPasses, kComputesAndPasses}) {
    EXPECT_EQ(found(use, {"1", "-20", "0"}), "BIGINT");
    EXPECT_EQ(found(use, {"1", "18446744073709551615"}), "HUGEINT");
    EXPECT_EQ(found(use, {"1.5", "-0.5"}), "DECIMAL(18,1)");
    EXPECT_EQ(found(use, {"99999999999999999.99"}), "DECIMAL(38,2)");
    EXPECT_EQ(found(use, {"true", "false"}), "BOOLEAN");
    EXPECT_EQ(found(use, {"2024-01-31"}), "DATE");
    EXPECT_EQ(found(use, {"2024-01-31 10:00:00", "2024-01-31 10:00:00.5"}), "TIMESTAMP");
    EXPECT_EQ(found(use, {"2024-01-31 10:00:00+00"}), "TIMESTAMPTZ");
    // Neither is a type for what may be a code, a version or a time of day.
    for (const char* text : {"00501", "+49", "-0", "12:30", "t", "x", "", "1_000", "0x10", ".5",
                             "5.", "NaN", "2024-02", "1e400", "2024-1-31"}) {
      EXPECT_EQ(found(use, {text}), "VARCHAR") << text;
    }
    EXPECT_EQ(found(use, {std::string(39, '9')}), "VARCHAR");
  }
}

TEST(ColumnSamples, ANumberThatIsWrittenOtherwiseIsOneOnlyWhereItIsCalculatedWith) {
  EXPECT_EQ(found(kComputes, {"1.10"}), "VARCHAR");
  EXPECT_EQ(found(kComputesAndPasses, {"1.10"}), "VARCHAR");
  EXPECT_EQ(found(kCalculates, {"1.10", "2.5"}), "DECIMAL(18,2)");
  EXPECT_EQ(found(kCalculatesAndPasses, {"1.10", "2.55"}), "DECIMAL(18,2)");
  EXPECT_EQ(found(kCalculatesAndPasses, {"1.10", "2.5"}), "VARCHAR");
  EXPECT_EQ(found(kCalculates, {"1e5"}), "DOUBLE");
  EXPECT_EQ(found(kCalculatesAndPasses, {"1e5"}), "VARCHAR");
  EXPECT_EQ(found(kComputes, {"1e5"}), "VARCHAR");
  EXPECT_EQ(found(kCalculates, {"12", "0.25"}), "DECIMAL(18,2)");
  EXPECT_EQ(found(kCalculatesAndPasses, {"12", "0.25"}), "DOUBLE");
  EXPECT_EQ(found(kCalculatesAndPasses, {"99999999999999.99", "0.1"}), "VARCHAR");
  EXPECT_EQ(found(kCalculates, {"99999999999999.99", "0.1"}), "DECIMAL(18,2)");
  EXPECT_EQ(found(kComputes, {"2024-01-31T10:00:00Z"}), "TIMESTAMPTZ");
  EXPECT_EQ(found(kComputesAndPasses, {"2024-01-31T10:00:00Z"}), "VARCHAR");
}

TEST(ColumnSamples, ColumnsWithoutAValueAreNullIfNoneCanCome) {
  ColumnSamples samples;
  samples.add_null();
  EXPECT_EQ(samples.type(kComputes, true).name, "\"NULL\"");
  EXPECT_EQ(samples.type(kComputes, false).name, "VARCHAR");
}

TEST(ColumnSamples, KindsOfJsonDecide) {
  const auto json = [](const std::vector<std::pair<JsonKind, std::string>>& values) {
    ColumnSamples samples;
    for (const auto& [kind, text] : values) samples.add_json({kind, text});
    return samples.type(kComputes, true).name;
  };
  using K = JsonKind;
  EXPECT_EQ(json({{K::kNumber, "1"}, {K::kNull, "null"}}), "BIGINT");
  EXPECT_EQ(json({{K::kString, "\"1\""}}), "VARCHAR") << "a string is no number";
  EXPECT_EQ(json({{K::kNumber, "1"}, {K::kString, "\"1\""}}), "VARCHAR");
  EXPECT_EQ(json({{K::kString, "\"2024-01-31\""}}), "DATE");
  EXPECT_EQ(json({{K::kBoolean, "true"}}), "BOOLEAN");
  EXPECT_EQ(json({{K::kNumber, "1"}, {K::kArray, "[]"}}), "JSON");
  EXPECT_EQ(json({{K::kObject, "{}"}}), "JSON");
}

}  // namespace
}  // namespace pgsink::test
