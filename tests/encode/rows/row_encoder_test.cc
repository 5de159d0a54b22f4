// The encoder's frame: rows, chunks, row ranges, rejections, and the traps of COPY binary that need
// no server. Values against a server are in conversion_test.cc and property_test.cc.

#include <numeric>

#include <pgproto/oid.h>

#include <pgsink/batch_of.h>
#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_decoder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

namespace oid = pgproto::oid;
using pgproto::TypeInfo;
using test::arrow_fixed;
using test::arrow_text;
using test::ArrowNode;
using test::ColumnType;
using test::Encoded;
using test::import_columns;
using test::Nullable;
using test::WireRow;

constexpr pgproto::Oid kInt4Array = 1007;
constexpr int32_t numeric_modifier(int32_t precision, int32_t scale) {
  return (precision << 16 | (scale & 0x7ff)) + 4;
}

Encoded encode(const RecordBatch& batch, const std::vector<ColumnType>& types,
               size_t out_bytes = 65536, const pgproto::TypeMap& catalog = {},
               Kernels kernels = Kernels::kBest) {
  auto encoder = RowEncoder::create(test::encode_columns(batch, types), catalog, kernels);
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  return test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}, out_bytes);
}

std::vector<WireRow> decode(const Encoded& encoded, size_t columns) {
  return test::decode_tuples(encoded.tuples, columns);
}

/// The message of create()'s error, or "" if it succeeds.
std::string create_error(const Field& source, ColumnType type,
                         const pgproto::TypeMap& catalog = {}) {
  auto encoder = RowEncoder::create({{0, source, "c", type.oid, type.type_modifier}}, catalog);
  if (encoder) return "";
  EXPECT_EQ(encoder.error().code, Errc::kColumnType);
  EXPECT_EQ(encoder.error().column, "c");
  return encoder.error().message;
}

Field field_of(ColumnKind kind) {
  Field field;
  field.name = "c";
  field.kind = kind;
  return field;
}

/// Rows of every layout that the encoder treats in its own way.
RecordBatch assorted_batch(size_t rows) {
  Nullable<int64_t> ids;
  Nullable<int32_t> counts;
  Nullable<bool> flags;
  Nullable<std::string> names;
  Nullable<std::string> views;
  Nullable<size_t> sizes;
  Nullable<double> readings;
  Nullable<int64_t> times;
  Nullable<int64_t> indexes;
  for (size_t i = 0; i < rows; ++i) {
    ids.emplace_back(static_cast<int64_t>(i));
    counts.push_back(i % 3 == 0 ? std::nullopt : std::optional(static_cast<int32_t>(i * 7)));
    flags.push_back(i % 5 == 0 ? std::nullopt : std::optional(i % 2 == 0));
    names.push_back(i % 7 == 0 ? std::nullopt : std::optional(std::string(i % 90, 'n')));
    views.emplace_back(std::string(i % 30, 'v') + "é");
    sizes.push_back(i % 11 == 0 ? std::nullopt : std::optional<size_t>(i % 4));
    for (size_t k = 0; k < sizes.back().value_or(0); ++k) {
      readings.emplace_back(static_cast<double>(i) + static_cast<double>(k) / 8);
    }
    times.emplace_back(1'700'000'000'000'000 + static_cast<int64_t>(i));
    indexes.push_back(i % 4 == 1 ? std::nullopt : std::optional(static_cast<int64_t>(i % 3)));
  }
  std::vector<ArrowNode> columns;
  columns.push_back(arrow_fixed("l", ids).named("id"));
  columns.push_back(arrow_fixed("i", counts).named("count"));
  columns.push_back(test::arrow_bool(flags).named("flag"));
  columns.push_back(arrow_text("u", names).named("name"));
  columns.push_back(arrow_text("vu", views).named("view"));
  columns.push_back(test::arrow_list("+l", sizes, arrow_fixed("g", readings)).named("readings"));
  columns.push_back(arrow_fixed("tsu:UTC", times).named("at"));
  columns.push_back(
      test::arrow_dictionary(indexes, arrow_text("u", {"red", "green", "blue"})).named("color"));
  columns.push_back(arrow_fixed("l", ids).named("amount"));
  return import_columns(std::move(columns));
}

const std::vector<ColumnType>& assorted_types() {
  static const std::vector<ColumnType> kTypes = {
      {oid::kInt8}, {oid::kInt4},        {oid::kBool}, {oid::kText},    {oid::kVarchar, 60},
      {1022},       {oid::kTimestamptz}, {oid::kText}, {oid::kNumeric},
  };
  return kTypes;
}

// ---- COPY binary: trap 31
// ------------------------------------------------------------------------

TEST(CopyFormat, HeaderIsSignatureFlagsAndNoExtension) {
  const std::string_view header = pgproto::as_text(copy_header());
  EXPECT_EQ(header, std::string_view("PGCOPY\n\xff\r\n\0\0\0\0\0\0\0\0\0", 19));
}

TEST(CopyFormat, TrailerIsMinusOneAndNothingElse) {
  EXPECT_EQ(pgproto::as_text(copy_trailer()), "\xff\xff");
}

TEST(CopyFormat, EveryRowBeginsWithTheNumberOfColumns) {
  const RecordBatch batch = assorted_batch(20);
  const auto rows = decode(encode(batch, assorted_types()), assorted_types().size());
  EXPECT_EQ(rows.size(), 20U);
}

TEST(CopyFormat, FieldsFollowTheEncodersColumnsNotTheBatchs) {
  const RecordBatch batch = import_columns(
      {arrow_fixed<int32_t>("i", {1}).named("a"), arrow_fixed<int32_t>("i", {2}).named("b")});
  std::vector<EncodeColumn> columns = test::encode_columns(batch, {{oid::kInt4}, {oid::kInt4}});
  std::swap(columns[0], columns[1]);
  auto encoder = RowEncoder::create(std::move(columns), {});
  ASSERT_TRUE(encoder);
  const Encoded encoded = test::encode_all(*encoder, batch, {0, 1, nullptr});
  const auto rows = decode(encoded, 2);
  EXPECT_EQ(test::decode_int(*rows[0][0]), 2);
  EXPECT_EQ(test::decode_int(*rows[0][1]), 1);
}

// ---- chunks and ranges
// ---------------------------------------------------------------------------

TEST(RowEncoder, BuffersOfAnySizeGiveTheSameBytes) {
  const RecordBatch batch = assorted_batch(300);
  const Encoded whole = encode(batch, assorted_types(), size_t{1} << 20);
  ASSERT_TRUE(whole.rejected.empty());
  for (const size_t out_bytes : {1U, 2U, 7U, 64U, 100U, 257U, 1000U, 4096U, 20'000U, 65'536U}) {
    const Encoded pieces = encode(batch, assorted_types(), out_bytes);
    EXPECT_EQ(pieces.tuples, whole.tuples) << out_bytes;
  }
}

TEST(RowEncoder, NothingIsWrittenBehindTheBytesThatCount) {
  const RecordBatch batch = assorted_batch(200);
  auto encoder = RowEncoder::create(test::encode_columns(batch, assorted_types()), {});
  ASSERT_TRUE(encoder);
  for (const size_t out_bytes : {500U, 5000U, 50'000U}) {
    std::vector<std::byte> out(out_bytes + 64, std::byte{0x77});
    std::vector<Rejection> rejected;
    encoder->encode(batch, {0, batch.row_count(), nullptr},
                    pgproto::MutableBytes(out).first(out_bytes), rejected);
    for (size_t i = out_bytes; i < out.size(); ++i) ASSERT_EQ(out[i], std::byte{0x77}) << i;
  }
}

TEST(RowEncoder, SaysHowManyBytesARowNeedsThatDoesNotFit) {
  const RecordBatch batch = import_columns({arrow_text("u", {std::string(100, 'x')}).named("t")});
  auto encoder = RowEncoder::create(test::encode_columns(batch, {{oid::kText}}), {});
  ASSERT_TRUE(encoder);
  std::vector<std::byte> out(105);
  std::vector<Rejection> rejected;
  const RowEncoder::Step step = encoder->encode(batch, {0, 1, nullptr}, out, rejected);
  EXPECT_EQ(step.rows, 0U);
  EXPECT_EQ(step.bytes, 0U);
  EXPECT_EQ(step.bytes_needed, 106U);
}

TEST(RowEncoder, RowRangesWithIndexesWriteTheRowsNamed) {
  const RecordBatch batch = assorted_batch(120);
  auto encoder = RowEncoder::create(test::encode_columns(batch, assorted_types()), {});
  ASSERT_TRUE(encoder);
  const auto all = decode(test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}), 9);
  std::vector<uint32_t> indexes;
  for (uint32_t i = 0; i < 500; ++i) indexes.push_back(i * 37 % 120);
  const auto chosen =
      decode(test::encode_all(*encoder, batch, {3, indexes.size() - 3, indexes.data()}, 777), 9);
  ASSERT_EQ(chosen.size(), indexes.size() - 3);
  for (size_t i = 0; i < chosen.size(); ++i) EXPECT_EQ(chosen[i], all[indexes[i + 3]]) << i;
}

TEST(RowEncoder, RowRangesInTheMiddleWriteThoseRows) {
  const RecordBatch batch = assorted_batch(700);
  auto encoder = RowEncoder::create(test::encode_columns(batch, assorted_types()), {});
  ASSERT_TRUE(encoder);
  const auto all = decode(test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}), 9);
  for (const size_t begin : {1U, 7U, 8U, 255U, 256U, 300U}) {
    const auto some = decode(test::encode_all(*encoder, batch, {begin, 333, nullptr}), 9);
    const std::vector<WireRow> expected(all.begin() + static_cast<ptrdiff_t>(begin),
                                        all.begin() + static_cast<ptrdiff_t>(begin) + 333);
    EXPECT_EQ(some, expected) << begin;
  }
}

TEST(RowEncoder, AnEmptyRangeWritesNothing) {
  const RecordBatch batch = assorted_batch(3);
  auto encoder = RowEncoder::create(test::encode_columns(batch, assorted_types()), {});
  ASSERT_TRUE(encoder);
  std::vector<std::byte> out(100);
  std::vector<Rejection> rejected;
  const RowEncoder::Step step = encoder->encode(batch, {1, 0, nullptr}, out, rejected);
  EXPECT_EQ(step.rows, 0U);
  EXPECT_EQ(step.bytes_needed, 0U);
}

TEST(RowEncoder, PortableCodeAndVectorCodeWriteTheSame) {
  const RecordBatch batch = assorted_batch(1000);
  EXPECT_EQ(encode(batch, assorted_types(), 30'000, {}, Kernels::kPortable).tuples,
            encode(batch, assorted_types(), 30'000, {}, Kernels::kBest).tuples);
}

// Rows of fixed width only: every width, more than one segment of 64 bytes, with and without NULL.
TEST(RowEncoder, FixedRowsAreTheSameWithAndWithoutVectorCode) {
  for (const size_t columns : {1U, 2U, 5U, 6U, 13U, 20U, 40U, 130U}) {
    for (const size_t null_every : {0U, 2U, 7U, 1000U}) {
      std::vector<ArrowNode> nodes;
      std::vector<ColumnType> types;
      for (size_t c = 0; c < columns; ++c) {
        Nullable<int64_t> longs;
        Nullable<int32_t> ints;
        Nullable<int16_t> shorts;
        Nullable<bool> bools;
        Nullable<std::string> uuids;
        for (size_t i = 0; i < 600; ++i) {
          const bool null = null_every != 0 && (i + c) % null_every == 0;
          const auto value = static_cast<int64_t>((i + 1) * 0x9e3779b97f4a7c15U + c);
          longs.push_back(null ? std::nullopt : std::optional(value));
          ints.push_back(null ? std::nullopt : std::optional(static_cast<int32_t>(value)));
          shorts.push_back(null ? std::nullopt : std::optional(static_cast<int16_t>(value)));
          bools.push_back(null ? std::nullopt : std::optional((value & 8) != 0));
          uuids.push_back(null
                              ? std::nullopt
                              : std::optional(std::to_string(value).append(16, '-').substr(0, 16)));
        }
        switch (c % 6) {
          case 0:
            nodes.push_back(arrow_fixed("l", longs));
            types.push_back({oid::kInt8});
            break;
          case 1:
            nodes.push_back(test::arrow_bool(bools));
            types.push_back({oid::kBool});
            break;
          case 2:
            nodes.push_back(arrow_fixed("i", ints));
            types.push_back({oid::kInt4});
            break;
          case 3:
            nodes.push_back(arrow_fixed("s", shorts));
            types.push_back({oid::kInt2});
            break;
          case 4:
            nodes.push_back(arrow_text("w:16", uuids));
            types.push_back({oid::kUuid});
            break;
          default:
            nodes.push_back(arrow_fixed("s", shorts));
            types.push_back({oid::kInt8});
            break;
        }
      }
      const RecordBatch batch = import_columns(std::move(nodes));
      for (const size_t out_bytes : {size_t{3000}, size_t{65'536}}) {
        const Encoded portable = encode(batch, types, out_bytes, {}, Kernels::kPortable);
        const Encoded best = encode(batch, types, out_bytes, {}, Kernels::kBest);
        ASSERT_EQ(best.tuples, portable.tuples) << columns << " columns, NULL every " << null_every;
        ASSERT_EQ(decode(best, columns).size(), 600U);
      }
    }
  }
}

// C++ rows: strides that are not the width of the value.
TEST(RowEncoder, StridedRowsAreTheSameWithAndWithoutVectorCode) {
  struct Row {
    bool flag;
    int64_t id;
    std::optional<int32_t> count;
    double value;
    std::array<uint8_t, 16> key;
    int16_t small;
  };
  std::vector<Row> rows(555);
  for (size_t i = 0; i < rows.size(); ++i) {
    rows[i] = {i % 2 == 0, static_cast<int64_t>(i), std::nullopt, static_cast<double>(i) / 3, {},
               7};
    if (i % 3 != 0) rows[i].count = static_cast<int32_t>(i);
    rows[i].key.fill(static_cast<uint8_t>(i));
  }
  const RecordBatch batch =
      batch_of(std::move(rows), column("flag", &Row::flag), column("id", &Row::id),
               column("count", &Row::count), column("value", &Row::value), column("key", &Row::key),
               column("small", &Row::small));
  const std::vector<ColumnType> types = {{oid::kBool},   {oid::kInt8}, {oid::kInt4},
                                         {oid::kFloat8}, {oid::kUuid}, {oid::kInt2}};
  EXPECT_EQ(encode(batch, types, 5000, {}, Kernels::kPortable).tuples,
            encode(batch, types, 5000, {}, Kernels::kBest).tuples);
}

// ---- rejections
// ----------------------------------------------------------------------------------

TEST(Rejections, RejectedRowsAreLeftOutAndTheOthersKeepTheirOrder) {
  Nullable<int64_t> values;
  for (int64_t i = 0; i < 1000; ++i) values.emplace_back(i % 10 == 3 ? 1'000'000 : i);
  const RecordBatch batch = import_columns({arrow_fixed("l", values).named("n")});
  for (const size_t out_bytes : {20U, 300U, 65'536U}) {
    const Encoded encoded = encode(batch, {{oid::kInt2}}, out_bytes);
    ASSERT_EQ(encoded.rejected.size(), 100U);
    for (size_t i = 0; i < 100; ++i) EXPECT_EQ(encoded.rejected[i].row, i * 10 + 3);
    const auto rows = decode(encoded, 1);
    ASSERT_EQ(rows.size(), 900U);
    EXPECT_EQ(test::decode_int(*rows[3][0]), 4);
    EXPECT_EQ(test::decode_int(*rows[899][0]), 999);
  }
}

TEST(Rejections, OnlyTheFirstFaultOfARowIsReported) {
  const RecordBatch batch = import_columns({arrow_fixed<int64_t>("l", {1, 70000}).named("a"),
                                            arrow_fixed<int64_t>("l", {70000, 70000}).named("b")});
  const Encoded encoded = encode(batch, {{oid::kInt2}, {oid::kInt2}});
  ASSERT_EQ(encoded.rejected.size(), 2U);
  EXPECT_EQ(encoded.rejected[0].column, 1U);
  EXPECT_EQ(
      encoded.rejected[0].error.message,
      "row 0, column \"b\" (smallint): 70000 is not a whole number of the type's range -32768 "
      "to 32767");
  EXPECT_EQ(encoded.rejected[1].column, 0U);
}

TEST(Rejections, ARowThatDoesNotFitIsNotReportedBeforeItIsConsumed) {
  const RecordBatch batch =
      import_columns({arrow_fixed<int64_t>("l", {1, 2, 70000, 4}).named("a")});
  auto encoder = RowEncoder::create(test::encode_columns(batch, {{oid::kInt2}}), {});
  ASSERT_TRUE(encoder);
  std::vector<std::byte> out(8);  // one row
  std::vector<Rejection> rejected;
  const RowEncoder::Step first = encoder->encode(batch, {0, 4, nullptr}, out, rejected);
  EXPECT_EQ(first.rows, 1U);
  EXPECT_TRUE(rejected.empty());
  const RowEncoder::Step second = encoder->encode(batch, {1, 3, nullptr}, out, rejected);
  EXPECT_EQ(second.rows, 2U);  // row 1, and row 2 with it
  ASSERT_EQ(rejected.size(), 1U);
  EXPECT_EQ(rejected[0].row, 2U);
}

TEST(Rejections, RowsNamedByIndexAreReportedByTheirNumberInTheBatch) {
  const RecordBatch batch =
      import_columns({arrow_fixed<int64_t>("l", {70000, 1, 80000}).named("a")});
  auto encoder = RowEncoder::create(test::encode_columns(batch, {{oid::kInt2}}), {});
  ASSERT_TRUE(encoder);
  const std::vector<uint32_t> indexes = {1, 2, 1};
  const Encoded encoded = test::encode_all(*encoder, batch, {0, 3, indexes.data()});
  ASSERT_EQ(encoded.rejected.size(), 1U);
  EXPECT_EQ(encoded.rejected[0].row, 2U);
  EXPECT_EQ(decode(encoded, 1).size(), 2U);
}

// Text is checked while it is copied: what was written of the block must not remain.
TEST(Rejections, BadTextFoundWhileWritingLeavesNoTrace) {
  Nullable<std::string> texts;
  for (size_t i = 0; i < 400; ++i) {
    texts.emplace_back(i % 50 == 49 ? "bad \xff" : "good " + std::to_string(i));
  }
  texts[7] = "ünïcödé";
  const RecordBatch batch =
      import_columns({arrow_text("u", texts).named("t"), arrow_text("vu", texts).named("v")});
  for (const size_t out_bytes : {60U, 65'536U}) {
    const Encoded encoded = encode(batch, {{oid::kText}, {oid::kText}}, out_bytes);
    EXPECT_EQ(encoded.rejected.size(), 8U);
    const auto rows = decode(encoded, 2);
    ASSERT_EQ(rows.size(), 392U);
    EXPECT_EQ(rows[7][0], "ünïcödé");
    EXPECT_EQ(rows[49][0], "good 50");
    EXPECT_EQ(rows[49][0], rows[49][1]);
  }
}

// ---- choosing the codec
// --------------------------------------------------------------------------

TEST(RowEncoderCreate, SaysWhatWouldWorkWhereNoConversionLeads) {
  EXPECT_EQ(create_error(field_of(ColumnKind::kBoolBits), {oid::kInt4}),
            "column \"c\": bool does not become integer; integer takes integer, float, decimal, "
            "text. Cast the column in the query");
  Field list = field_of(ColumnKind::kList32);
  list.children.push_back(field_of(ColumnKind::kBoolBits));
  EXPECT_NE(create_error(list, {kInt4Array}).find("element: bool does not become integer"),
            std::string::npos);
}

TEST(RowEncoderCreate, NamesATypeThatTheCatalogDoesNotDescribe) {
  EXPECT_NE(create_error(field_of(ColumnKind::kInt32), {99'999}).find("OID 99999"),
            std::string::npos);
}

TEST(RowEncoderCreate, TakesTextAndScalarsForATypeWithoutBinaryForm) {
  TypeInfo geometry;
  geometry.oid = 50'001;
  geometry.name = "public.geometry";
  const pgproto::TypeMap types{{50'001, geometry}};
  for (const ColumnKind kind : {ColumnKind::kText32, ColumnKind::kInt64, ColumnKind::kBinaryView}) {
    EXPECT_TRUE(RowEncoder::create({{0, field_of(kind), "c", 50'001}}, types));
  }
  Field list = field_of(ColumnKind::kList32);
  list.children.push_back(field_of(ColumnKind::kInt32));
  const std::string error = create_error(list, {50'001}, types);
  EXPECT_NE(error.find("list<int32> does not become public.geometry"), std::string::npos) << error;
}

TEST(RowEncoderCreate, RefusesNoColumnsAndTooMany) {
  EXPECT_EQ(RowEncoder::create({}, {}).error().code, Errc::kUsage);
  const std::vector<EncodeColumn> many(1665, {0, field_of(ColumnKind::kNull), "c", oid::kInt4, -1});
  EXPECT_EQ(RowEncoder::create(many, {}).error().code, Errc::kUsage);
}

TEST(RowEncoderCreate, StructsNeedEveryAttributeByNameOrNoneAtAll) {
  TypeInfo point;
  point.oid = 50'002;
  point.name = "spot";
  point.kind = TypeInfo::Kind::kComposite;
  point.attributes = {{"x", oid::kInt4, -1}, {"y", oid::kInt4, -1}};
  const pgproto::TypeMap catalog{{50'002, point}};
  Field source = field_of(ColumnKind::kStruct);
  source.children = {field_of(ColumnKind::kInt32), field_of(ColumnKind::kInt32)};
  source.children[0].name = "Y";
  source.children[1].name = "x";
  EXPECT_EQ(create_error(source, {50'002}, catalog), "");
  source.children[0].name = "z";
  EXPECT_NE(create_error(source, {50'002}, catalog).find("no field is named \"y\""),
            std::string::npos);
  source.children[0].name = source.children[1].name = "";
  EXPECT_EQ(create_error(source, {50'002}, catalog), "");
  source.children.pop_back();
  EXPECT_NE(create_error(source, {50'002}, catalog).find("1 fields, spot has 2 attributes"),
            std::string::npos);
}

TEST(RowEncoderCreate, RefusesListsDeeperThanSixDimensions) {
  Field list = field_of(ColumnKind::kInt32);
  for (int i = 0; i < 7; ++i) {
    Field outer = field_of(ColumnKind::kList32);
    outer.children.push_back(std::move(list));
    list = std::move(outer);
  }
  EXPECT_NE(create_error(list, {kInt4Array}).find("6 dimensions"), std::string::npos);
}

// ---- traps 27 to 30, as bytes
// --------------------------------------------------------------------

TEST(Numeric, Trap28NoDigitStandsBehindDscale) {
  const RecordBatch batch =
      import_columns({arrow_fixed<int64_t>("d:18,4,64", {15678, 15600, 10000, 0, -1}).named("n")});
  const Encoded plain = encode(batch, {{oid::kNumeric}});
  const auto rows = decode(plain, 1);  // decode_numeric() checks it
  EXPECT_EQ(test::decode_numeric(*rows[0][0]), "1.5678");
  EXPECT_EQ(test::decode_numeric(*rows[1][0]), "1.5600");
  EXPECT_EQ(test::decode_numeric(*rows[3][0]), "0.0000");
  const Encoded limited = encode(batch, {{oid::kNumeric, numeric_modifier(10, 2)}});
  ASSERT_EQ(limited.rejected.size(), 2U);  // 1.5678 and -0.0001 would lose digits
  EXPECT_EQ(limited.rejected[0].error.sqlstate, "22003");
  EXPECT_NE(limited.rejected[0].error.message.find("numeric(10,2)"), std::string::npos);
  EXPECT_EQ(test::decode_numeric(*decode(limited, 1)[0][0]), "1.56");
}

TEST(Numeric, Trap28ZeroGroupsInTheMiddleStay) {
  const RecordBatch batch =
      import_columns({arrow_fixed<int64_t>("l", {100000001, 1000000000000, 10000, 1}).named("n")});
  const auto rows = decode(encode(batch, {{oid::kNumeric}}), 1);
  EXPECT_EQ(rows[0][0]->size(), 8U + 3 * 2);
  EXPECT_EQ(test::decode_numeric(*rows[0][0]), "100000001");
  EXPECT_EQ(test::decode_numeric(*rows[1][0]), "1000000000000");
  EXPECT_EQ(rows[1][0]->size(), 8U + 1 * 2);
  EXPECT_EQ(test::decode_numeric(*rows[2][0]), "10000");
}

TEST(Timestamp, Trap29OverflowIsRejectedAndNeverBecomesInfinity) {
  constexpr int64_t kMax = std::numeric_limits<int64_t>::max();
  const RecordBatch batch =
      import_columns({arrow_fixed<int64_t>("tss:UTC", {kMax, -kMax, kMax / 1'000'000}).named("t"),
                      arrow_fixed<int64_t>("tsm:UTC", {kMax, -kMax, kMax / 1000}).named("u")});
  EXPECT_EQ(encode(batch, {{oid::kTimestamptz}, {oid::kTimestamptz}}).rejected.size(), 2U);
  const RecordBatch days =
      import_columns({arrow_fixed<int32_t>("tdD", {2147483647, -2147483647 - 1}).named("d")});
  for (const pgproto::Oid type : {oid::kDate, oid::kTimestamp}) {
    const Encoded encoded = encode(days, {{type}});
    EXPECT_EQ(encoded.rejected.size(), 2U);
    EXPECT_TRUE(encoded.tuples.empty());
  }
}

TEST(Timetz, Trap29TheZoneIsSecondsWestOfUtc) {
  const RecordBatch batch =
      import_columns({arrow_text("u", {"12:00:00+01", "12:00:00-03:30"}).named("t")});
  const auto rows = decode(encode(batch, {{oid::kTimetz}}), 1);
  EXPECT_EQ(test::decode_int(rows[0][0]->substr(8)), -3600);
  EXPECT_EQ(test::decode_int(rows[1][0]->substr(8)), 12'600);
}

TEST(Jsonb, Trap30HasAVersionByteAndJsonHasNone) {
  const RecordBatch batch =
      import_columns({arrow_text("u", {"[1]"}).named("j"), arrow_text("u", {"[1]"}).named("k"),
                      arrow_fixed<int32_t>("i", {7}).named("n")});
  const auto rows = decode(encode(batch, {{oid::kJson}, {oid::kJsonb}, {oid::kJsonb}}), 3);
  EXPECT_EQ(rows[0][0], "[1]");
  EXPECT_EQ(rows[0][1], "\x01[1]");
  EXPECT_EQ(rows[0][2],
            "\x01"
            "7");
}

TEST(Inet, Trap30FamiliesAreTwoAndThreeOnEverySystem) {
  const RecordBatch batch =
      import_columns({arrow_text("u", {"10.0.0.1", "::1", "10.0.0.0/8"}).named("i")});
  const auto rows = decode(encode(batch, {{oid::kInet}}), 1);
  EXPECT_EQ(rows[0][0], std::string("\2\x20\0\4\x0a\0\0\1", 8));
  EXPECT_EQ(rows[1][0]->substr(0, 4), std::string("\3\x80\0\x10", 4));
  EXPECT_EQ((*rows[2][0])[1], 8);
}

TEST(Array, Trap30EmptyArraysHaveNoDimension) {
  const RecordBatch batch = import_columns(
      {test::arrow_list("+l", {0, 2}, arrow_fixed<int32_t>("i", {1, std::nullopt})).named("a")});
  const auto rows = decode(encode(batch, {{kInt4Array}}), 1);
  EXPECT_EQ(rows[0][0], std::string("\0\0\0\0\0\0\0\0\0\0\0\x17", 12));
  const test::WireArray array = test::decode_array(*rows[1][0]);
  EXPECT_EQ(array.element_oid, oid::kInt4);
  EXPECT_TRUE(array.has_null);
  EXPECT_EQ(array.lower_bounds, std::vector<int32_t>{1});
}

// A domain's values have its base type's form, but arrays and rows announce the domain itself.
TEST(Oids, Trap27ArraysAndCompositesAnnounceTheTypesOfTheCatalog) {
  TypeInfo domain;
  domain.oid = 60'001;
  domain.name = "positive";
  domain.kind = TypeInfo::Kind::kDomain;
  domain.base_oid = oid::kInt4;
  TypeInfo array;
  array.oid = 60'002;
  array.name = "positive[]";
  array.kind = TypeInfo::Kind::kArray;
  array.element_oid = 60'001;
  TypeInfo composite;
  composite.oid = 60'003;
  composite.name = "thing";
  composite.kind = TypeInfo::Kind::kComposite;
  composite.attributes = {{"n", 60'001, -1}, {"a", 60'002, -1}};
  const pgproto::TypeMap catalog{{60'001, domain}, {60'002, array}, {60'003, composite}};
  const RecordBatch batch = import_columns(
      {test::arrow_struct({true},
                          {arrow_fixed<int32_t>("i", {5}).named("n"),
                           test::arrow_list("+l", {1}, arrow_fixed<int64_t>("l", {6})).named("a")})
           .named("t")});
  const auto rows = decode(encode(batch, {{60'003}}, 65536, catalog), 1);
  const auto attributes = test::decode_record(*rows[0][0]);
  ASSERT_EQ(attributes.size(), 2U);
  EXPECT_EQ(attributes[0].type_oid, 60'001U);
  EXPECT_EQ(test::decode_int(*attributes[0].value), 5);
  EXPECT_EQ(attributes[1].type_oid, 60'002U);
  EXPECT_EQ(test::decode_array(*attributes[1].value).element_oid, 60'001U);
}

TEST(Text, Trap13NulBytesAreRejectedInTextAndJsonAndKeptInBytea) {
  const std::string nul("a\0b", 3);
  for (const pgproto::Oid type :
       {oid::kText, oid::kVarchar, oid::kBpchar, oid::kName, oid::kJson, oid::kJsonb, oid::kXml}) {
    const RecordBatch batch = import_columns({arrow_text("u", {nul, "ok"}).named("t")});
    const Encoded encoded = encode(batch, {{type}});
    ASSERT_EQ(encoded.rejected.size(), 1U) << type;
    EXPECT_EQ(encoded.rejected[0].error.sqlstate, "22021");
    EXPECT_NE(encoded.rejected[0].error.message.find("NUL byte at byte 1"), std::string::npos);
  }
  const RecordBatch bytes = import_columns({arrow_text("z", {nul}).named("b")});
  EXPECT_EQ(decode(encode(bytes, {{oid::kBytea}}), 1)[0][0], nul);
}

TEST(Text, MessagesShowValuesShortenedAndPrintable) {
  const RecordBatch batch =
      import_columns({arrow_text("u", {std::string(500, 'x') + "\n", "\x01\x7f\xff"}).named("t")});
  const Encoded encoded = encode(batch, {{oid::kVarchar, 14}});
  ASSERT_EQ(encoded.rejected.size(), 2U);
  EXPECT_EQ(encoded.rejected[0].error.message, "row 0, column \"t\" (character varying): \"" +
                                                   std::string(40, 'x') +
                                                   "…\" has 501 characters, the type holds 10");
  EXPECT_NE(encoded.rejected[1].error.message.find(R"("\x01\x7f\xff")"), std::string::npos);
}

}  // namespace
}  // namespace pgsink
