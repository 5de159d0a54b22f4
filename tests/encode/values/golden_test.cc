// Type goldens: what PostgreSQL itself sends for a value, in tests/golden/encode/. Each file holds
// the SQL that made it, the type as the catalog describes it, and lines of text, native number
// (for dates and times; "-" without), and hexadecimal field. The encoder must make the same bytes
// from the text and from the value of the C++ type.
//
// To capture them again: run this test with a server of the version wanted (PGSINK_PG_BINDIR).
// Where the server sends something else than the golden says, the test fails and leaves what was
// sent in golden/encode/ of the build folder: look at it, then copy it over.

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <sstream>

#include <pgproto/oid.h>

#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_decoder.h"
#include "support/copy_harness.h"
#include "support/golden_types.h"

namespace pgsink {
namespace {

using test::Golden;
using test::GoldenValue;
using test::Nullable;

Golden read_golden(const std::string& name) {
  std::ifstream file(test::golden_path(name));
  if (!file) throw std::runtime_error("no golden " + test::golden_path(name));
  std::stringstream content;
  content << file.rdbuf();
  return test::parse_golden(content.str());
}

/// The fields that the encoder makes of a column.
std::vector<test::WireField> encode_fields(const Golden& golden, test::ArrowNode column) {
  column.name = "c";
  const RecordBatch batch = test::import_columns({std::move(column)});
  auto encoder = RowEncoder::create(test::encode_columns(batch, {golden.type}), golden.types);
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  const test::Encoded encoded =
      test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}, 4096);
  for (const Rejection& rejection : encoded.rejected) {
    ADD_FAILURE() << rejection.error.to_string();
  }
  std::vector<test::WireField> fields;
  for (const test::WireRow& row : test::decode_tuples(encoded.tuples, 1)) fields.push_back(row[0]);
  return fields;
}

/// With an infinite numeric the server sends a display scale that is made of bits of its header,
/// and reads none.
std::string without_chance(const Golden& golden, const GoldenValue& value) {
  std::string field = value.field;
  const bool numeric = golden.type.oid == pgproto::oid::kNumeric;
  if (numeric && value.text.ends_with("Infinity")) field.back() = 0;
  return field;
}

void expect_fields(const Golden& golden, const std::vector<GoldenValue>& values,
                   const test::ArrowNode& column) {
  const auto fields = encode_fields(golden, column);
  ASSERT_EQ(fields.size(), values.size());
  for (size_t i = 0; i < fields.size(); ++i) {
    ASSERT_TRUE(fields[i]);
    EXPECT_EQ(test::to_hex(*fields[i]), test::to_hex(without_chance(golden, values[i])))
        << values[i].text << " in " << column.format;
  }
}

TEST(Golden, TextBecomesTheBytesThatTheServerSends) {
  for (const test::GoldenType& type : test::golden_types()) {
    SCOPED_TRACE(type.name);
    const Golden golden = read_golden(type.name);
    ASSERT_EQ(golden.values.size(), type.inputs.size());
    Nullable<std::string> texts;
    for (const GoldenValue& value : golden.values) texts.emplace_back(value.text);
    if (std::string_view(type.name).starts_with("bytea")) {
      // Text is how bytea is shown; as a column of bytes it is not text.
      expect_fields(golden, golden.values, test::arrow_text("u", texts));
      continue;
    }
    for (const char* format : {"u", "U", "vu"}) {
      expect_fields(golden, golden.values, test::arrow_text(format, texts));
    }
  }
}

/// Golden values whose native number fits T, as a column of it.
template <class T>
void expect_native(const std::string& name, const std::string& format) {
  SCOPED_TRACE(name + " from " + format);
  const Golden golden = read_golden(name);
  Nullable<T> numbers;
  std::vector<GoldenValue> values;
  for (const GoldenValue& value : golden.values) {
    std::istringstream text(value.native);
    T number{};
    if (std::is_unsigned_v<T> && value.native.starts_with("-")) continue;
    if (!(text >> number) || !text.eof()) continue;
    numbers.emplace_back(number);
    values.push_back(value);
  }
  ASSERT_GE(values.size(), 4U);
  expect_fields(golden, values, test::arrow_fixed(format, numbers));
}

TEST(Golden, IntegersBecomeTheBytesThatTheServerSends) {
  for (const std::string name : {"int2", "int4", "int8", "numeric"}) {
    expect_native<int16_t>(name, "s");
    expect_native<int32_t>(name, "i");
    expect_native<int64_t>(name, "l");
  }
  expect_native<uint64_t>("int8", "L");
}

TEST(Golden, DatesAndTimesBecomeTheBytesThatTheServerSends) {
  expect_native<int32_t>("date", "tdD");
  expect_native<int64_t>("time", "ttu");
  expect_native<int64_t>("timestamp", "tsu:");
  expect_native<int64_t>("timestamptz", "tsu:UTC");
}

/// strtod and strtof are the C library's, exact to the last bit.
template <class T>
void expect_floats(const std::string& name, const std::string& format, T (*parse)(const char*)) {
  SCOPED_TRACE(name);
  const Golden golden = read_golden(name);
  Nullable<T> numbers;
  for (const GoldenValue& value : golden.values) numbers.emplace_back(parse(value.text.c_str()));
  expect_fields(golden, golden.values, test::arrow_fixed(format, numbers));
}

TEST(Golden, FloatsBecomeTheBytesThatTheServerSends) {
  expect_floats<float>("float4", "f", [](const char* text) { return std::strtof(text, nullptr); });
  expect_floats<double>("float8", "g", [](const char* text) { return std::strtod(text, nullptr); });
}

TEST(Golden, BytesAndBooleansBecomeTheBytesThatTheServerSends) {
  const Golden bytea = read_golden("bytea");
  Nullable<std::string> bytes;
  for (const GoldenValue& value : bytea.values) {
    bytes.emplace_back(test::from_hex(value.text.substr(2)));
  }
  for (const char* format : {"z", "Z", "vz"}) {
    expect_fields(bytea, bytea.values, test::arrow_text(format, bytes));
  }
  const Golden uuid = read_golden("uuid");
  bytes.clear();
  for (const GoldenValue& value : uuid.values) {
    std::string digits = value.text;
    std::erase(digits, '-');
    bytes.emplace_back(test::from_hex(digits));
  }
  expect_fields(uuid, uuid.values, test::arrow_text("w:16", bytes).extended("arrow.uuid"));
  const Golden boolean = read_golden("bool");
  Nullable<bool> flags;
  for (const GoldenValue& value : boolean.values) flags.emplace_back(value.text == "t");
  expect_fields(boolean, boolean.values, test::arrow_bool(flags));
}

TEST(Golden, TheServerStillSendsThem) {
  test::PostgresServer& server = test::shared_server();
  if (server.version() < 150000) return;  // Their intervals need PostgreSQL 15.
  const std::string database = server.create_database("golden");
  server.sql(test::golden_types_sql(), database);
  const std::filesystem::path made = PGSINK_BUILD_DIR "/golden/encode";
  for (const test::GoldenType& type : test::golden_types()) {
    const std::string captured = test::capture_golden(server, database, type);
    std::ifstream file(test::golden_path(type.name));
    std::stringstream content;
    content << file.rdbuf();
    if (content.str() == captured) continue;
    std::filesystem::create_directories(made);
    std::ofstream(made / (std::string(type.name) + ".golden")) << captured;
    ADD_FAILURE() << "the server sends something else for " << type.name << " than "
                  << test::golden_path(type.name) << " says; what it sends is in " << made.string();
  }
}

}  // namespace
}  // namespace pgsink
