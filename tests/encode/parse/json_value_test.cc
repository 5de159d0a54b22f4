// JSON values (Field::json_value) into columns of every kind, compared with what the server's own
// json_populate_record() makes of them.

#include <pgsink/encode/parse/json_value.h>
#include <pgsink/encode/parse/plain_number.h>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/conversion_cases.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

using test::CopyTable;

const std::string& database() {
  static const std::string name = [] {
    std::string created = test::shared_server().create_database("json_value", true);
    test::shared_server().sql(test::conversion_types_sql(), created);
    return created;
  }();
  return name;
}

RecordBatch batch_of(const std::vector<std::string>& values) {
  auto schema = std::make_shared<Schema>(1);
  schema->front().name = "c0";
  schema->front().kind = ColumnKind::kStdString;
  schema->front().json_value = true;
  ColumnView view;
  view.kind = ColumnKind::kStdString;
  view.values = values.data();
  view.stride_bytes = sizeof(std::string);
  return {std::move(schema), {view}, values.size(), 0, {}};
}

struct Written {
  std::vector<std::string> texts;  ///< As the server shows them; "(null)".
  std::vector<Rejection> rejected;
};

Written write(const std::string& type, const std::vector<std::string>& values) {
  CopyTable table(test::shared_server(), database(), "t", {type});
  const RecordBatch batch = batch_of(values);
  auto encoder = RowEncoder::create(encode_columns(batch, table.columns()), table.types());
  EXPECT_TRUE(encoder) << encoder.error().to_string();
  const auto encoded = test::encode_all(*encoder, batch, {0, values.size()});
  EXPECT_EQ(table.copy(encoded.tuples), "") << type;
  Written written;
  written.rejected = encoded.rejected;
  for (const auto& row : table.rows()) written.texts.push_back(row[0].value_or("(null)"));
  return written;
}

/// What json_populate_record() makes of a value, or "!" if it refuses it.
std::string server_reads(const std::string& type, const std::string& value) {
  const std::string sql =
      "DROP TYPE IF EXISTS holder; CREATE TYPE holder AS (c0 " + type +
      "); SELECT coalesce((pg_catalog.json_populate_record(NULL::holder, $json${\"c0\":" + value +
      "}$json$)).c0::text, '(null)')";
  try {
    return test::shared_server().scalar(sql, database());
  } catch (const std::exception&) {
    return "!";
  }
}

TEST(JsonValue, BecomesWhatTheServerMakesOfIt) {
  const std::pair<std::string, std::vector<std::string>> cases[] = {
      {"text",
       {"\"\"", "\"Zo\\u00eb \\ud83d\\ude00 \\\"\\\\\\/\\b\\f\\n\\r\\t\"", "1.10", "-0", "1E400",
        "true", "null", "\"null\"", "{\"k\": 1.10}", "[1, \"a\"]"}},
      {"varchar(3)", {"\"äöü\"", "123", "\"abcd\""}},
      {"bigint", {"1", "\"7\"", "-9223372036854775808", "9223372036854775808", "true", "3.7"}},
      {"numeric", {"18446744073709551615", "99999999999999.99", "1.10", "-0", "1e-10", "\"5\""}},
      {"numeric(18,2)", {"99999999999999.99", "1234567890123456.78", "1e2", "\"0.5\""}},
      {"double precision", {"0.1", "1e308", "1e400", "\"NaN\""}},
      {"boolean", {"true", "false", "\"yes\"", "1", "2"}},
      {"timestamptz", {"\"2024-01-31T12:00:00Z\"", "\"infinity\"", "5"}},
      {"uuid", {"\"a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11\"", "\"x\""}},
      {"bytea", {"\"\\\\xdead\""}},
      {"jsonb",
       {"{\"b\": 1.10, \"a\": [1e400, \"\\u00e9\"]}", "\"a string\"", "1.10", "true", "[]"}},
      {"json", {"{\"b\":   1.10}", "\"a string\"", "1e400"}},
      {"text[]",
       {"[\"a\",\"b\"]", "[]", "[null, \"NULL\", \"\", \"q\\\"\\\\\", \"{,}\"]", "[1.10, true]",
        "[[\"a\"],[\"b\"]]", "\"{x,y}\"", "[{\"k\": [1]}]"}},
      {"int[]", {"[1,2]", "[[1,2],[3,4]]", "[[1],[2,3]]", "[\"5\"]", "[1.5]", "{\"a\":1}", "7"}},
      {"numeric(10,2)[]", {"[99999999.99, 1e2]"}},
      {"jsonb[]", {"[1.10, \"s\", {\"k\": 1}, null]"}},
      {"address",
       {"{\"street\":\"High \\\"St\\\", 1\",\"city\":null,\"zip\":501}", "{\"zip\":1,\"other\":2}",
        "\"(a,b,3)\"", "{\"zip\":\"x\"}"}},
      {"address[]", {"[{\"street\":\"a\",\"zip\":1},{\"city\":\"b\"}]"}},
      {"product", {"{\"name\":\"n\",\"cost\":1.50,\"tags\":[\"t\",\"u\"],\"feeling\":\"ok\"}"}},
      {"mood", {"\"ok\"", "\"no\""}},
      {"cheap", {"1.50"}},
  };
  for (const auto& [type, values] : cases) {
    for (const std::string& value : values) {
      std::string wanted = server_reads(type, value);
      const Written written = write(type, {value});
      if (wanted == "!") {
        EXPECT_EQ(written.rejected.size(), 1U) << type << " " << value;
        continue;
      }
      ASSERT_TRUE(written.rejected.empty())
          << type << " " << value << " " << written.rejected[0].error.to_string();
      EXPECT_EQ(written.texts.at(0), wanted) << type << " " << value;
    }
  }
}

TEST(JsonValue, WholeNumbersAreIntegersHoweverTheyAreWritten) {
  const Written written =
      write("bigint", {"1.0", "1e2", "-12300e-2", "0.0", "1.5", "1e30", "1e-1"});
  EXPECT_THAT(written.texts, testing::ElementsAre("1", "100", "-123", "0"));
  EXPECT_EQ(written.rejected.size(), 3U);
}

TEST(JsonValue, NothingIsRoundedAndHalvesOfSurrogatesAreRejected) {
  const Written rounded = write("numeric(18,2)", {"0.125", "0.12"});
  EXPECT_THAT(rounded.texts, testing::ElementsAre("0.12"));
  ASSERT_EQ(rounded.rejected.size(), 1U);
  const Written lone =
      write("text", {"\"\\ud800\"", "\"\\udc00\"", "\"\\ud800x\"", "\"a\\u0000b\"", "\"ok\""});
  EXPECT_THAT(lone.texts, testing::ElementsAre("ok"));
  EXPECT_EQ(lone.rejected.size(), 4U);
}

TEST(JsonValue, JsonTakesEveryValueAsItIsWritten) {
  const std::vector<std::string> values = {"\"\\ud800\"", "\"a\\u0000b\"", "{\"b\":   1.10}"};
  EXPECT_EQ(write("json", values).texts, values);
}

TEST(JsonValue, ManyRowsKeepTheirValuesApart) {
  std::vector<std::string> values;
  std::vector<std::string> wanted;
  for (size_t i = 0; i < 3000; ++i) {
    const std::string number = std::to_string(i);
    values.push_back(i % 3 == 0 ? "null" : "[\"a\\n" + number + "\", " + number + "]");
    wanted.push_back(i % 3 == 0 ? "(null)" : "{\"a\n" + number + "\"," + number + "}");
  }
  EXPECT_EQ(write("text[]", values).texts, wanted);
}

TEST(JsonValue, MalformedValuesOfAHostAreRejectedNotRead) {
  for (const char* value : {"[", "[1", "[1,]", "[1,,2]", "[1 2]", "[\"a]", "{\"street\"}", "{1:2}",
                            "{\"street\":}", "\"", "\"\\x\"", "\"\\u12\"", "[1]x", ""}) {
    EXPECT_EQ(write("address[]", {value}).rejected.size(), 1U) << value;
    EXPECT_EQ(write("address", {value}).rejected.size(), 1U) << value;
  }
}

TEST(PlainNumber, IsTheSameNumberInDigits) {
  const std::pair<std::string, std::string> numbers[] = {
      {"0", "0"},         {"-0", "0"},           {"007", "7"},           {"1.50", "1.5"},
      {"-.5", "-0.5"},    {"5.", "5"},           {"1e2", "100"},         {"1.25e1", "12.5"},
      {"125e-2", "1.25"}, {"125e-5", "0.00125"}, {"0.001e3", "1"},       {"+1", "1"},
      {"1e0", "1"},       {"10e-1", "1"},        {"0e999999999999", "0"}};
  for (const auto& [text, plain] : numbers) {
    const auto number = encode::read_number(text);
    ASSERT_TRUE(number) << text;
    EXPECT_EQ(encode::plain_number(*number, 20), plain) << text;
  }
  for (const char* text : {"1e20", "1e999999999999", "1e-30", "123456789012345678901"}) {
    EXPECT_EQ(encode::plain_number(*encode::read_number(text), 20), std::nullopt) << text;
  }
  for (const char* text :
       {"", "-", ".", "1e", "1e+", "x", "1x", " 1", "1 ", "--1", "0x1", "1.2.3"}) {
    EXPECT_FALSE(encode::read_number(text)) << text;
  }
}

}  // namespace
}  // namespace pgsink
