// The traps of binary values that other clients fell into, each as bytes that need no server; those
// of rows, text and numbers of OIDs are in row_encoder_test.cc, those of Arrow in arrow_test.cc.

#include <pgproto/oid.h>

#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_decoder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

namespace oid = pgproto::oid;
using test::arrow_fixed;
using test::arrow_text;
using test::ColumnType;
using test::Encoded;
using test::import_columns;
using test::WireField;

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
constexpr int64_t kDayMicros = 86'400'000'000;
/// Microseconds from 1970 to 2000.
constexpr int64_t kEpoch = 946'684'800'000'000;

Encoded encode(const RecordBatch& batch, const std::vector<ColumnType>& types) {
  auto encoder = RowEncoder::create(test::encode_columns(batch, types), {});
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  return test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}, 65536);
}

/// The fields of one column of text; nullopt is a rejected row.
std::vector<WireField> text_fields(ColumnType type, const std::vector<std::string>& texts) {
  std::vector<WireField> fields;
  for (const std::string& text : texts) {
    const Encoded encoded = encode(import_columns({arrow_text("u", {text}).named("c")}), {type});
    EXPECT_EQ(encoded.rejected.size() + test::decode_tuples(encoded.tuples, 1).size(), 1U) << text;
    if (encoded.rejected.empty()) {
      fields.push_back(test::decode_tuples(encoded.tuples, 1)[0][0]);
    } else {
      fields.emplace_back();
    }
  }
  return fields;
}

bool rejects(ColumnType type, const std::string& text) { return !text_fields(type, {text})[0]; }

/// A column of bytes that says it is that long. Nothing may look at the bytes.
class ClaimedBytes {
 public:
  explicit ClaimedBytes(int64_t bytes) : offsets_{0, bytes} {
    field_.name = "c";
    field_.kind = view_.kind = ColumnKind::kBinary64;
    view_.values = offsets_;
    view_.stride_bytes = sizeof(int64_t);
    view_.heap = &heap_;
  }
  ClaimedBytes(const ClaimedBytes&) = delete;
  ClaimedBytes& operator=(const ClaimedBytes&) = delete;

  RecordBatch batch(size_t columns) const {
    return RecordBatch(std::make_shared<const Schema>(columns, field_), {columns, view_}, 1, 0,
                       nullptr);
  }

 private:
  int64_t offsets_[2];
  char heap_ = 0;
  Field field_;
  ColumnView view_;
};

// ---- 1 and 32: lengths --------------------------------------------------------------------------

TEST(Length, Trap1AFieldOfMoreThanTheServersLimitIsRejectedAndNeverWraps) {
  constexpr int64_t kGiB = int64_t{1} << 30;
  for (const int64_t bytes : {kGiB - 4, kGiB, 2 * kGiB, 4 * kGiB, 4 * kGiB + 5, 8 * kGiB - 1}) {
    const Encoded encoded = encode(ClaimedBytes(bytes).batch(1), {{oid::kBytea}});
    ASSERT_EQ(encoded.rejected.size(), 1U) << bytes;
    EXPECT_TRUE(encoded.tuples.empty());
    EXPECT_EQ(encoded.rejected[0].error.sqlstate, "54000");
    EXPECT_NE(encoded.rejected[0].error.message.find(std::to_string(bytes)), std::string::npos);
  }
}

TEST(Length, Trap32ARowOfMoreThanTheServersLimitIsRejected) {
  constexpr int64_t kBytes = 600'000'000;  // one alone would do
  const std::vector<ColumnType> types(8, ColumnType{oid::kBytea});
  for (const size_t columns : {size_t{2}, size_t{8}}) {
    const ClaimedBytes claimed(kBytes);
    const RecordBatch batch = claimed.batch(columns);
    const Encoded encoded = encode(batch, {types.begin(), types.begin() + ptrdiff_t(columns)});
    ASSERT_EQ(encoded.rejected.size(), 1U);
    EXPECT_TRUE(encoded.tuples.empty());
    EXPECT_EQ(encoded.rejected[0].error.sqlstate, "54000");
  }
}

// ---- 28: numeric --------------------------------------------------------------------------------

TEST(Numeric, Trap28SpecialValuesHaveTheirSignWords) {
  const auto fields = text_fields({oid::kNumeric}, {"NaN", "Infinity", "-Infinity"});
  EXPECT_EQ(fields[0], std::string("\0\0\0\0\xc0\0\0\0", 8));
  EXPECT_EQ(fields[1], std::string("\0\0\0\0\xd0\0\0\0", 8));
  EXPECT_EQ(fields[2], std::string("\0\0\0\0\xf0\0\0\0", 8));
}

TEST(Numeric, Trap28NanStandsInArraysToo) {
  const auto fields = text_fields({1231}, {"{NaN,1}"});
  ASSERT_TRUE(fields[0]);
  EXPECT_EQ(test::decode_array(*fields[0]).elements[0], std::string("\0\0\0\0\xc0\0\0\0", 8));
}

TEST(Numeric, Trap28ScaleEndsAt16383) {
  const std::string longest = "0." + std::string(16'382, '0') + "1";
  EXPECT_FALSE(rejects({oid::kNumeric}, longest));
  EXPECT_TRUE(rejects({oid::kNumeric}, longest + "1"));
  EXPECT_FALSE(rejects({oid::kNumeric}, std::string(131'072, '9')));
  EXPECT_TRUE(rejects({oid::kNumeric}, std::string(131'073, '9')));
}

TEST(Numeric, Trap28TrailingZerosOfTheScaleStay) {
  const auto fields = text_fields({oid::kNumeric}, {"1.500", "0.000", "100.00"});
  EXPECT_EQ(test::decode_numeric(*fields[0]), "1.500");
  EXPECT_EQ(test::decode_numeric(*fields[1]), "0.000");
  EXPECT_EQ(test::decode_numeric(*fields[2]), "100.00");
}

// ---- 29: dates and times ------------------------------------------------------------------------

TEST(Timestamp, Trap29TheGreatestNumberIsInfinityOnlyWhereTheSourceSaysSo) {
  const auto make = [](ArrowImport options) {
    return import_columns(
        {arrow_fixed<int64_t>("tsu:", {kInt64Max, -kInt64Max, kInt64Max - 1}).named("c")}, options);
  };
  // As numbers: 294247-01-10, a moment before it, and what lies before 4714 BC.
  const Encoded finite = encode(make({}), {{oid::kTimestamp}});
  ASSERT_EQ(finite.rejected.size(), 1U);
  EXPECT_EQ(finite.rejected[0].row, 1U);
  EXPECT_EQ(test::decode_int(*test::decode_tuples(finite.tuples, 1)[0][0]), kInt64Max - kEpoch);
  const Encoded infinite = encode(make({true}), {{oid::kTimestamp}});
  ASSERT_TRUE(infinite.rejected.empty());
  const auto rows = test::decode_tuples(infinite.tuples, 1);
  EXPECT_EQ(test::decode_int(*rows[0][0]), kInt64Max);
  EXPECT_EQ(test::decode_int(*rows[1][0]), -kInt64Max - 1);
  EXPECT_EQ(test::decode_int(*rows[2][0]), kInt64Max - 1 - kEpoch);
}

TEST(Date, Trap29TheRangeEndsWhereTheServersDoes) {
  const auto fields = text_fields({oid::kDate}, {"4714-11-24 BC", "5874897-12-31"});
  EXPECT_EQ(test::decode_int(*fields[0]), -2'451'545);
  EXPECT_EQ(test::decode_int(*fields[1]), 2'145'031'948);
  EXPECT_TRUE(rejects({oid::kDate}, "4714-11-23 BC"));
  EXPECT_TRUE(rejects({oid::kDate}, "5874898-01-01"));
  EXPECT_TRUE(rejects({oid::kTimestamp}, "294277-01-01 00:00:00"));
  EXPECT_TRUE(rejects({oid::kTimestamp}, "4714-11-23 23:59:59 BC"));
}

TEST(Date, Trap29YearsBeforeChristLeapAsAstronomersCount) {
  // 1 BC is year 0, 5 BC is year -4: both leap; 4 BC does not.
  EXPECT_FALSE(rejects({oid::kDate}, "0001-02-29 BC"));
  EXPECT_FALSE(rejects({oid::kDate}, "0005-02-29 BC"));
  EXPECT_TRUE(rejects({oid::kDate}, "0004-02-29 BC"));
  EXPECT_TRUE(rejects({oid::kDate}, "0000-01-01"));
  const auto fields = text_fields({oid::kDate}, {"0001-12-31 BC", "0001-01-01"});
  EXPECT_EQ(test::decode_int(*fields[0]) + 1, test::decode_int(*fields[1]));
}

TEST(Time, Trap29MidnightAtTheEndIsLegalAndLaterIsNot) {
  const RecordBatch batch =
      import_columns({arrow_fixed<int64_t>("ttu", {kDayMicros, kDayMicros + 1, -1}).named("c")});
  const Encoded encoded = encode(batch, {{oid::kTime}});
  ASSERT_EQ(encoded.rejected.size(), 2U);
  EXPECT_EQ(test::decode_int(*test::decode_tuples(encoded.tuples, 1)[0][0]), kDayMicros);
  EXPECT_FALSE(rejects({oid::kTime}, "24:00:00"));
  EXPECT_TRUE(rejects({oid::kTime}, "24:00:00.000001"));
}

TEST(Interval, Trap29FieldsAreMicrosecondsThenDaysThenMonths) {
  const auto fields = text_fields({oid::kInterval}, {"1 mon 2 days 00:00:00.000003"});
  EXPECT_EQ(fields[0], std::string("\0\0\0\0\0\0\0\3\0\0\0\2\0\0\0\1", 16));
}

// ---- 30: shapes of types ------------------------------------------------------------------------

TEST(Bool, Trap30IsOneByte) {
  const auto fields = text_fields({oid::kBool}, {"true", "f"});
  EXPECT_EQ(fields[0], "\1");
  EXPECT_EQ(fields[1], std::string("\0", 1));
}

TEST(Uuid, Trap30IsSixteenBytesInReadingOrder) {
  const auto fields = text_fields({oid::kUuid}, {"00112233-4455-6677-8899-aabbccddeeff"});
  EXPECT_EQ(fields[0],
            std::string("\x00\x11\x22\x33\x44\x55\x66\x77\x88\x99\xaa\xbb\xcc\xdd\xee\xff", 16));
  EXPECT_TRUE(rejects({oid::kUuid}, "00112233-4455-6677-8899-aabbccddeef"));
}

TEST(Cidr, Trap30HostBitsMustBeZero) {
  EXPECT_FALSE(rejects({650}, "10.0.0.0/8"));
  EXPECT_TRUE(rejects({650}, "10.0.0.1/8"));
  EXPECT_TRUE(rejects({650}, "2001:db8::1/32"));
}

TEST(Varbit, Trap30CountsBitsAndPadsTheLastByteWithZeros) {
  const auto fields = text_fields({1562}, {"101", "111111111", ""});
  EXPECT_EQ(fields[0], std::string("\0\0\0\3\xa0", 5));
  EXPECT_EQ(fields[1], std::string("\0\0\0\x09\xff\x80", 6));
  EXPECT_EQ(fields[2], std::string("\0\0\0\0", 4));
}

TEST(Bytea, Trap30IsRawAndItsTextIsHexadecimal) {
  const auto fields = text_fields({oid::kBytea}, {"\\x00fF", "a\\\\b\\001"});
  EXPECT_EQ(fields[0], std::string("\0\xff", 2));
  EXPECT_EQ(fields[1], "a\\b\1");
  EXPECT_TRUE(rejects({oid::kBytea}, "\\x0"));
}

TEST(Array, Trap30SixDimensionsAreTheMost) {
  EXPECT_FALSE(rejects({1007}, "{{{{{{1}}}}}}"));
  EXPECT_TRUE(rejects({1007}, "{{{{{{{1}}}}}}}"));
}

TEST(Array, Trap30LowerBoundsOfTextStay) {
  const auto fields = text_fields({1007}, {"[-2:0]={1,2,3}"});
  EXPECT_EQ(test::decode_array(*fields[0]).lower_bounds, std::vector<int32_t>{-2});
}

TEST(Array, Trap4BoundsThatSayMoreThanThereIsAreRejected) {
  EXPECT_TRUE(rejects({1007}, "[1:3]={1,2}"));
  EXPECT_TRUE(rejects({1007}, "[1:2147483647]={1}"));
  EXPECT_TRUE(rejects({1007}, "[2147483647:2147483648]={1,2}"));
  EXPECT_TRUE(rejects({1007}, "[2:1]={}"));
}

TEST(Range, Trap30FlagsSayWhichBoundsAreThere) {
  const auto fields = text_fields({3904}, {"empty", "[1,5)", "(,)"});
  EXPECT_EQ(fields[0], "\x01");
  EXPECT_EQ((*fields[1])[0], 0x02);
  EXPECT_EQ(fields[2], "\x18");
}

// ---- 31: the frame of COPY binary ---------------------------------------------------------------

TEST(CopyFormat, Trap31SignatureFlagsExtensionAndTrailer) {
  const pgproto::Bytes header = copy_header();
  const std::string text(reinterpret_cast<const char*>(header.data()), header.size());
  EXPECT_EQ(text, std::string("PGCOPY\n\377\r\n\0\0\0\0\0\0\0\0\0", 19));
  ASSERT_EQ(copy_trailer().size(), 2U);
  EXPECT_EQ(pgproto::load_be<int16_t>(copy_trailer().data()), -1);
}

TEST(CopyFormat, Trap31EveryRowHasTheFieldCountOfTheColumnListEvenWithNulls) {
  const RecordBatch batch = import_columns({arrow_fixed<int32_t>("i", {1, std::nullopt}).named("a"),
                                            arrow_text("u", {std::nullopt, "x"}).named("b")});
  const auto rows = test::decode_tuples(encode(batch, {{oid::kInt4}, {oid::kText}}).tuples, 2);
  ASSERT_EQ(rows.size(), 2U);  // decode_tuples() checks the counts
  EXPECT_FALSE(rows[0][1]);
  EXPECT_FALSE(rows[1][0]);
  EXPECT_EQ(rows[1][1], "x");
}

}  // namespace
}  // namespace pgsink
