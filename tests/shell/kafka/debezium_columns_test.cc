// Messages of Debezium, as rows of a changelog.

#include "shell/kafka/debezium_columns.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace pgsink::test {
namespace {

using shell::DebeziumColumns;
using shell::ExactType;
using shell::RecordColumn;
using shell::RecordValues;
using testing::HasSubstr;
using Kind = ExactType::Kind;

RecordColumn column(const std::string& name, const ExactType& type) {
  RecordColumn made;
  made.name = name;
  made.declared = true;
  made.sql_type = type.name;
  made.type = type;
  return made;
}

const ExactType kText{.kind = Kind::kText, .name = "VARCHAR"};
const ExactType kBigint{.kind = Kind::kInteger, .name = "BIGINT"};
const ExactType kDate{.kind = Kind::kDate, .name = "DATE"};
const ExactType kTimestamp{.kind = Kind::kTime, .name = "TIMESTAMP", .scale = 6};
const ExactType kTimeOfDay{.kind = Kind::kTime, .name = "TIME", .scale = 6};
const ExactType kNumeric{.kind = Kind::kDecimal, .name = "DECIMAL(38,4)", .scale = 4};
const ExactType kBlob{.kind = Kind::kOther, .name = "BLOB"};
const ExactType kJson{.kind = Kind::kJson, .name = "JSON"};
const ExactType kDates{.kind = Kind::kList, .name = "DATE[]", .children = {kDate}};

/// The values of a row, or why there is none.
std::string shown(const std::expected<RecordValues, std::string>& row) {
  if (!row) return "error: " + row.error();
  std::string text;
  for (const auto& value : *row) text += (text.empty() ? "" : "|") + value.value_or("NULL");
  return text;
}

/// What a table of a bigint id and a text name makes of a message.
std::string read(const std::string& message, bool whole = true) {
  DebeziumColumns columns({column("id", kBigint), column("name", kText)});
  columns.set_whole(whole);
  return shown(columns.read(message));
}

/// The text of a value of a field with a schema, in PostgreSQL's form.
std::string value(const ExactType& type, const std::string& schema, const std::string& json,
                  bool whole = true) {
  DebeziumColumns columns({column("v", type)});
  columns.set_whole(whole);
  const std::string field = R"({"field":"v","optional":true,)" + schema + "}";
  const auto row = columns.read(
      R"({"schema":{"type":"struct","fields":[{"type":"struct","field":"after","fields":[)" +
      field + R"(]},{"type":"string","field":"op"}]},"payload":{"before":null,"after":{"v":)" +
      json + R"(},"op":"c"}})");
  if (!row) return "error: " + row.error();
  return row->front().value_or("NULL");
}

/// The same without a schema.
std::string bare_value(const ExactType& type, const std::string& json) {
  DebeziumColumns columns({column("v", type)});
  columns.set_whole(true);
  const auto row = columns.read(R"({"before":null,"after":{"v":)" + json + R"(},"op":"c"})");
  if (!row) return "error: " + row.error();
  return row->front().value_or("NULL");
}

std::string logical(const std::string& type, const std::string& name) {
  return R"("type":")" + type + R"(","name":")" + name + "\"";
}

TEST(DebeziumColumns, AnEnvelopeSaysWhatHappened) {
  const std::string before = R"("before":{"id":1,"name":"a"})",
                    after = R"("after":{"id":1,"name":"b"})";
  EXPECT_EQ(read(R"({"before":null,)" + after + R"(,"op":"c","ts_ms":1})"), "1|b|I|NULL");
  EXPECT_EQ(read(R"({"before":null,)" + after + R"(,"op":"r"})"), "1|b|I|NULL");
  EXPECT_EQ(read("{" + before + "," + after + R"(,"op":"u"})"), "1|b|U|NULL");
  EXPECT_EQ(read("{" + before + R"(,"after":null,"op":"d"})"), "1|a|D|NULL");
  EXPECT_EQ(read(R"({"before":null,"after":null,"op":"t"})"), "NULL|NULL|T|NULL");
  EXPECT_EQ(read(R"({"schema":null,"payload":{"before":null,)" + after + R"(,"op":"c"}})"),
            "1|b|I|NULL");
  EXPECT_EQ(read(R"({"before":null,)" + after + R"(,"op":"c"})", false), "1|b|I");
}

TEST(DebeziumColumns, AFlattenedRowSaysItInColumns) {
  EXPECT_EQ(read(R"({"id":1,"name":"a","__op":"c"})"), "1|a|I|NULL");
  EXPECT_EQ(read(R"({"id":1,"name":"a","__op":"u","__deleted":"false"})"), "1|a|U|NULL");
  EXPECT_EQ(read(R"({"id":1,"name":"a","__op":"d","__deleted":"true"})"), "1|a|D|NULL");
  EXPECT_EQ(read(R"({"id":1,"name":"a","__deleted":"true"})"), "1|a|D|NULL");
  EXPECT_EQ(read(R"({"id":1,"name":"a","__deleted":"false"})"), "1|a|U|NULL");
  EXPECT_EQ(read(R"({"id":1,"op":"x","name":"a","__op":"c"})"), "1|a|I|NULL");
  EXPECT_EQ(read(R"({"schema":{"type":"struct","fields":[{"type":"int64","field":"id"}]},)"
                 R"("payload":{"id":7,"name":"a","__op":"c"}})"),
            "7|a|I|NULL");
}

TEST(DebeziumColumns, AnythingElseIsRefusedWithAReason) {
  for (const auto& [message, why] : std::vector<std::pair<std::string, std::string>>{
           {"", "JSON object"},
           {"[]", "JSON object"},
           {"\xff", "UTF-8"},
           {R"({"id":1})", "neither op, __op nor __deleted"},
           {R"({"op":"m","message":{}})", "none of c, r, u, d and t"},
           {R"({"op":7})", "none of c, r, u, d and t"},
           {R"({"op":"c","after":null})", "no object in \"after\""},
           {R"({"op":"d","before":null})", "replica identity"},
           {R"({"schema":{},"payload":{"op":"c"}})", "no fields"},
           {R"({"schema":{"type":"struct","fields":[{"type":"int64"}]},"payload":{}})", "no name"},
           {R"({"schema":{"fields":7},"payload":5})", "not an object"},
           {R"({"op":"c","after":{"id":"x"}})", "column 'id'"}}) {
    EXPECT_THAT(read(message), testing::AllOf(testing::StartsWith("error: "), HasSubstr(why)))
        << message;
  }
}

TEST(DebeziumColumns, AMistakeInASchemaDoesNotReachTheNextMessage) {
  DebeziumColumns columns({column("v", kDate)});
  const std::string bad = R"({"schema":{"type":"struct","fields":[)"
                          R"({"type":"int32","name":"io.debezium.time.Date","field":"v"},{}]},)"
                          R"("payload":{"v":1,"__op":"c"}})";
  EXPECT_THAT(shown(columns.read(bad)), HasSubstr("no name"));
  EXPECT_EQ(shown(columns.read(R"({"v":"2026-01-02","__op":"c"})")), "2026-01-02|I");
}

TEST(DebeziumColumns, WhatTheSourceLeftOutIsNamed) {
  const std::string unavailable = R"("__debezium_unavailable_value")";
  const std::string update =
      R"({"before":null,"after":{"id":1,"name":)" + unavailable + "},\"op\":";
  EXPECT_EQ(read(update + R"("u"})"), R"(1|NULL|U|["name"])");
  EXPECT_EQ(read(update + R"("c"})"), R"(1|NULL|I|["name"])");
  EXPECT_THAT(read(update + R"("u"})", false), HasSubstr("column 'name': the source has left out"));
  EXPECT_EQ(read(R"({"before":{"id":1,"name":)" + unavailable + R"(},"op":"d"})"), "1|NULL|D|NULL");
  EXPECT_EQ(read(R"({"id":1,"name":)" + unavailable + R"(,"__op":"u"})"), R"(1|NULL|U|["name"])");

  std::string letters;
  for (const char c : std::string("__debezium_unavailable_value")) {
    letters += (letters.empty() ? "" : ",") + std::to_string(int{c});
  }
  for (const std::string& form :
       {std::string(R"("X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ==")"), "[" + unavailable + "]",
        std::string(R"(["X19kZWJleml1bV91bmF2YWlsYWJsZV92YWx1ZQ=="])"), "[" + letters + "]",
        std::string(R"(["b68a35a7-17ad-35b3-af2a-ae46edb4545a"])"),
        "{" + unavailable + ":" + unavailable + "}",
        std::string(R"("{\"__debezium_unavailable_value\":\"__debezium_unavailable_value\"}")")}) {
    EXPECT_EQ(read(R"({"after":{"id":1,"name":)" + form + R"(},"op":"u"})"), R"(1|NULL|U|["name"])")
        << form;
  }
  EXPECT_EQ(read(R"({"after":{"id":1,"name":"a __debezium_unavailable_value"},"op":"u"})"),
            "1|a __debezium_unavailable_value|U|NULL");
}

TEST(DebeziumColumns, AValueMayBeNullAroundASchema) {
  DebeziumColumns columns({column("id", kBigint)});
  EXPECT_TRUE(columns.is_null("null"));
  EXPECT_TRUE(columns.is_null(
      R"({"schema":{"type":"struct","fields":[],"name":"t.Value"},"payload":null})"));
  EXPECT_FALSE(columns.is_null(R"({"schema":null,"payload":{"id":null}})"));
  EXPECT_FALSE(columns.is_null(R"({"id":1,"payload":null})"));
  EXPECT_FALSE(columns.is_null(R"({"schema":1,"x":2,"payload":null})"));
}

TEST(DebeziumColumns, ATombstoneNamesTheKeyOfADelete) {
  DebeziumColumns columns({column("id", kDate), column("name", kText)});
  EXPECT_EQ(shown(columns.read_deleted(
                R"({"schema":{"type":"struct","fields":[{"type":"int32","field":"id",)"
                R"("name":"io.debezium.time.Date"}]},"payload":{"id":1}})")),
            "1970-01-02|NULL|D");
  EXPECT_EQ(shown(columns.read_deleted(R"({"id":"2026-01-02"})")), "2026-01-02|NULL|D");
  EXPECT_THAT(shown(columns.read_deleted("k1")), HasSubstr("it has no value, and of its key"));
}

TEST(DebeziumValues, DatesAndTimesByTheirLogicalTypes) {
  const auto debezium = [](const std::string& type, const std::string& name) {
    return logical(type, "io.debezium.time." + name);
  };
  const auto connect = [](const std::string& type, const std::string& name) {
    return logical(type, "org.apache.kafka.connect.data." + name);
  };
  for (const auto& schema : {debezium("int32", "Date"), connect("int32", "Date")}) {
    EXPECT_EQ(value(kDate, schema, "0"), "1970-01-01");
    EXPECT_EQ(value(kDate, schema, "20605"), "2026-06-01");
    EXPECT_EQ(value(kDate, schema, "-1"), "1969-12-31");
    EXPECT_EQ(value(kDate, schema, "11016"), "2000-02-29");
    EXPECT_EQ(value(kDate, schema, "-719528"), "0001-01-01 BC");
    EXPECT_EQ(value(kDate, schema, "-719528", false), "0001-01-01 (BC)");
    EXPECT_EQ(value(kDate, schema, "null"), "NULL");
    EXPECT_THAT(value(kDate, schema, "1.5"), HasSubstr("not a number of days"));
    EXPECT_THAT(value(kDate, schema, "9223372036854775807"), HasSubstr("not a number of days"));
  }
  for (const auto& schema : {debezium("int64", "Timestamp"), connect("int64", "Timestamp")}) {
    EXPECT_EQ(value(kTimestamp, schema, "1780272000123"), "2026-06-01 00:00:00.123");
    EXPECT_EQ(value(kTimestamp, schema, "-1"), "1969-12-31 23:59:59.999");
  }
  const std::string micro = debezium("int64", "MicroTimestamp");
  EXPECT_EQ(value(kTimestamp, micro, "1780272000123456"), "2026-06-01 00:00:00.123456");
  EXPECT_EQ(value(kTimestamp, micro, "0"), "1970-01-01 00:00:00");
  EXPECT_EQ(value(kTimestamp, micro, "9223372036825200000"), "infinity");
  EXPECT_EQ(value(kTimestamp, micro, "-9223372036832400000"), "-infinity");
  EXPECT_EQ(value(kTimestamp, micro, "-62167219200000000"), "0001-01-01 00:00:00 BC");
  EXPECT_EQ(value(kText, micro, "1"), "1970-01-01 00:00:00.000001");
  const std::string nano = debezium("int64", "NanoTimestamp");
  EXPECT_EQ(value(kTimestamp, nano, "1780272000123456000"), "2026-06-01 00:00:00.123456");
  EXPECT_THAT(value(kTimestamp, nano, "1"), HasSubstr("decimals of a second"));

  EXPECT_EQ(value(kText, debezium("int32", "Time"), "37230500"), "10:20:30.5");
  EXPECT_EQ(value(kText, connect("int32", "Time"), "37230500"), "10:20:30.5");
  EXPECT_EQ(value(kText, debezium("int64", "MicroTime"), "86400000000"), "24:00:00");
  EXPECT_EQ(value(kText, debezium("int64", "NanoTime"), "1"), "00:00:00.000000001");
  EXPECT_THAT(value(kText, debezium("int64", "MicroTime"), "-1"), HasSubstr("since midnight"));
  EXPECT_EQ(value(kText, debezium("string", "ZonedTimestamp"), R"("2026-06-01T10:20:30.5Z")"),
            "2026-06-01T10:20:30.5Z");
  EXPECT_EQ(value(kText, debezium("string", "ZonedTime"), R"("10:20:30Z")"), "10:20:30Z");
  EXPECT_EQ(value(kText, debezium("string", "Interval"), R"("P1Y2M-3DT4H5M6.7S")"),
            "1 years 2 months -3 days 4 hours 5 minutes 6.7 seconds");
  EXPECT_EQ(value(kText, debezium("int64", "MicroDuration"), "-5"), "-5 microseconds");
  for (const char* wrong : {"\"\"", "\"P\"", "\"1Y\"", "\"P1\"", "\"P1S\"", "\"PT1Y\"", "5"}) {
    EXPECT_THAT(value(kText, debezium("string", "Interval"), wrong), HasSubstr("ISO 8601"))
        << wrong;
  }
}

TEST(DebeziumValues, NumbersBitsAndBytes) {
  const std::string decimal = logical("bytes", "org.apache.kafka.connect.data.Decimal");
  const auto scaled = [&](const std::string& scale) {
    return decimal + R"(,"parameters":{"scale":")" + scale +
           R"(","connect.decimal.precision":"9"})";
  };
  EXPECT_EQ(value(kNumeric, scaled("2"), R"("MDk=")"), "123.45");
  EXPECT_EQ(value(kText, scaled("2"), R"("AA==")"), "0.00");
  EXPECT_EQ(value(kNumeric, scaled("2"), R"("/w==")"), "-0.01");
  EXPECT_EQ(value(kNumeric, scaled("0"), R"("gA==")"), "-128");
  EXPECT_EQ(value(kNumeric, scaled("-2"), R"("AQ==")"), "100");
  // 2^127 - 1 and -2^127, with four decimals.
  EXPECT_EQ(value(kText, scaled("4"), R"("f////////////////////w==")"),
            "17014118346046923173168730371588410.5727");
  EXPECT_EQ(value(kText, scaled("4"), R"("gAAAAAAAAAAAAAAAAAAAAA==")"),
            "-17014118346046923173168730371588410.5728");
  EXPECT_THAT(value(kNumeric, decimal, R"("MDk=")"), HasSubstr("no scale"));
  EXPECT_THAT(value(kNumeric, scaled("99999"), R"("MDk=")"), HasSubstr("the limit is 16383"));
  EXPECT_THAT(value(kNumeric, scaled("5"), R"("MDk=")"), HasSubstr("error: column 'v'"));
  EXPECT_THAT(value(kNumeric, scaled("2"), R"("?")"), HasSubstr("not a Decimal in base64"));
  EXPECT_THAT(value(kNumeric, scaled("2"), '"' + std::string(81'644, 'A') + '"'),
              HasSubstr("a Decimal has 61233 bytes, the limit is 61230"));
  const std::string variable = logical("struct", "io.debezium.data.VariableScaleDecimal");
  EXPECT_EQ(value(kNumeric, variable, R"({"scale":3,"value":"MDk="})"), "12.345");
  EXPECT_THAT(value(kNumeric, variable, R"({"scale":3})"), HasSubstr("VariableScaleDecimal"));

  const std::string bits = logical("bytes", "io.debezium.data.Bits");
  EXPECT_EQ(value(kText, bits + R"(,"parameters":{"length":"10"})", R"("BQI=")"), "1000000101");
  EXPECT_EQ(value(kText, bits, R"("BQ==")"), "00000101");
  EXPECT_EQ(value(kBlob, R"("type":"bytes")", R"("AP9h")"), "\\x00ff61");
  EXPECT_EQ(value(kBlob, R"("type":"bytes")", R"("AP9h")", false), "\\x00\\xff\\x61");
  EXPECT_EQ(value(kBlob, R"("type":"bytes")", R"("")"), "\\x");
  EXPECT_THAT(value(kBlob, R"("type":"string")", R"("AP9h")"), HasSubstr("binary.handling.mode"));
}

TEST(DebeziumValues, TextsAndArrays) {
  EXPECT_EQ(value(kText, logical("string", "io.debezium.data.Uuid"), R"("b68a")"), "b68a");
  EXPECT_EQ(value(kText, logical("string", "io.debezium.data.Enum"), R"("gr\u00fcn")"), "grün");
  EXPECT_EQ(value(kJson, logical("string", "io.debezium.data.Json"), R"("{\"a\": 1.0}")"),
            "{\"a\": 1.0}");
  EXPECT_EQ(value(kJson, logical("string", "io.debezium.data.Json"), R"("\"text\"")"), "\"text\"");
  EXPECT_EQ(value(kDate, logical("string", "io.debezium.time.IsoDate"), R"("2015-05-27Z")"),
            "2015-05-27");
  EXPECT_EQ(value(kTimeOfDay, logical("string", "io.debezium.time.IsoTime"), R"("10:20:30Z")"),
            "10:20:30");
  const std::string dates =
      R"("type":"array","items":{)" + logical("int32", "io.debezium.time.Date") + "}";
  EXPECT_EQ(value(kDates, dates, "[0,null,-1]"), R"(["1970-01-01",null,"1969-12-31"])");
  EXPECT_EQ(value(kDates, dates, "[]"), "[]");
}

TEST(DebeziumValues, WithoutASchemaTheColumnDecides) {
  EXPECT_EQ(bare_value(kDate, "20605"), "2026-06-01");
  EXPECT_EQ(bare_value(kDate, R"("2026-06-01")"), "2026-06-01");
  EXPECT_EQ(bare_value(kTimestamp, R"("2026-06-01T10:20:30Z")"), "2026-06-01T10:20:30Z");
  EXPECT_THAT(bare_value(kTimestamp, "1780272000123"), HasSubstr("has no unit as a TIMESTAMP"));
  // time.precision.mode = 'isostring' writes the offset, which is always that of UTC.
  EXPECT_EQ(bare_value(kDate, R"("2015-05-27Z")"), "2015-05-27");
  EXPECT_THAT(bare_value(kDate, R"("2015-05-27+02:00")"), HasSubstr("is not of type DATE"));
  EXPECT_EQ(bare_value(kTimeOfDay, R"("10:20:30.123456Z")"), "10:20:30.123456");
  EXPECT_EQ(bare_value(kBlob, R"("AP9h")"), "\\x00ff61");
  EXPECT_THAT(bare_value(kBlob, R"("?")"), HasSubstr("not bytes in base64"));
  EXPECT_EQ(bare_value(kNumeric, R"("123.45")"), "123.45");
  EXPECT_EQ(bare_value(kNumeric, "123.45"), "123.45");
  EXPECT_THAT(bare_value(kNumeric, R"("AMc=")"), HasSubstr("error: column 'v'"));
}

}  // namespace
}  // namespace pgsink::test
