// C++ structs and vectors as batches: every member type, NULLs, ownership.

#include <pgproto/oid.h>

#include <pgsink/batch_of.h>
#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/copy_decoder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

namespace oid = pgproto::oid;
using namespace std::chrono_literals;
using test::ColumnType;
using test::WireRow;

std::vector<WireRow> rows_of(const RecordBatch& batch, const std::vector<ColumnType>& types) {
  auto encoder = RowEncoder::create(test::encode_columns(batch, types), {});
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  const test::Encoded encoded =
      test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}, 200);
  EXPECT_TRUE(encoded.rejected.empty());
  return test::decode_tuples(encoded.tuples, types.size());
}

struct Everything {
  bool flag = true;
  int8_t tiny = -1;
  uint16_t port = 65535;
  int64_t id = 42;
  uint64_t large = 7;
  float ratio = 0.5F;
  double price = 0.25;
  std::string name = "naïve";
  std::string_view code = "view";
  std::vector<std::byte> blob{std::byte{1}, std::byte{0}};
  std::array<std::byte, 16> key{};
  std::array<uint8_t, 16> other_key{};
  std::chrono::sys_time<std::chrono::microseconds> at{1s};
  std::chrono::sys_seconds second{2s};
  std::chrono::local_time<std::chrono::nanoseconds> local{3us};
  std::chrono::sys_days day{std::chrono::days{10'957}};
  std::chrono::milliseconds took{1500};
  std::optional<int32_t> maybe;
  std::optional<std::string> maybe_name;
  std::vector<int32_t> numbers{1, 2, 3};
  std::vector<std::optional<std::string>> tags{"a", std::nullopt};
  std::vector<std::vector<double>> matrix{{1, 2}, {3, 4}};
  std::optional<std::vector<int64_t>> maybe_list;
};

TEST(BatchOf, TakesEveryMemberType) {
  std::vector<Everything> rows(2);
  rows[1].maybe = -9;
  rows[1].maybe_name = "set";
  rows[1].maybe_list = std::vector<int64_t>{5};
  rows[1].numbers.clear();
  const RecordBatch batch = batch_of(
      std::move(rows), column("flag", &Everything::flag), column("tiny", &Everything::tiny),
      column("port", &Everything::port), column("id", &Everything::id),
      column("large", &Everything::large), column("ratio", &Everything::ratio),
      column("price", &Everything::price), column("name", &Everything::name),
      column("code", &Everything::code), column("blob", &Everything::blob),
      column("key", &Everything::key), column("other_key", &Everything::other_key),
      column("at", &Everything::at), column("second", &Everything::second),
      column("local", &Everything::local), column("day", &Everything::day),
      column("took", &Everything::took), column("maybe", &Everything::maybe),
      column("maybe_name", &Everything::maybe_name), column("numbers", &Everything::numbers),
      column("tags", &Everything::tags), column("matrix", &Everything::matrix),
      column("maybe_list", &Everything::maybe_list));
  const auto decoded = rows_of(batch, {{oid::kBool},
                                       {oid::kInt2},
                                       {oid::kInt4},
                                       {oid::kInt8},
                                       {oid::kNumeric},
                                       {oid::kFloat4},
                                       {oid::kFloat8},
                                       {oid::kText},
                                       {oid::kVarchar},
                                       {oid::kBytea},
                                       {oid::kUuid},
                                       {oid::kUuid},
                                       {oid::kTimestamptz},
                                       {oid::kTimestamptz},
                                       {oid::kTimestamp},
                                       {oid::kDate},
                                       {oid::kInterval},
                                       {oid::kInt4},
                                       {oid::kText},
                                       {1007},
                                       {1009},
                                       {1022},
                                       {1016}});
  constexpr int64_t kEpoch = 946'684'800'000'000;
  const WireRow& row = decoded.at(0);
  EXPECT_EQ(row[0], "\1");
  EXPECT_EQ(test::decode_int(*row[1]), -1);
  EXPECT_EQ(test::decode_int(*row[2]), 65535);
  EXPECT_EQ(test::decode_int(*row[3]), 42);
  EXPECT_EQ(test::decode_numeric(*row[4]), "7");
  EXPECT_EQ(test::decode_float4(*row[5]), 0.5F);
  EXPECT_EQ(test::decode_float8(*row[6]), 0.25);
  EXPECT_EQ(row[7], "naïve");
  EXPECT_EQ(row[8], "view");
  EXPECT_EQ(row[9], std::string("\1\0", 2));
  EXPECT_EQ(row[10], std::string(16, '\0'));
  EXPECT_EQ(test::decode_int(*row[12]), 1'000'000 - kEpoch);
  EXPECT_EQ(test::decode_int(*row[13]), 2'000'000 - kEpoch);
  EXPECT_EQ(test::decode_int(*row[14]), 3 - kEpoch);
  EXPECT_EQ(test::decode_int(*row[15]), 0);
  EXPECT_EQ(test::decode_interval(*row[16]).micros, 1'500'000);
  EXPECT_FALSE(row[17]);
  EXPECT_FALSE(row[18]);
  EXPECT_EQ(test::decode_array(*row[19]).lengths, std::vector<int32_t>{3});
  const test::WireArray tags = test::decode_array(*row[20]);
  EXPECT_EQ(tags.elements[0], "a");
  EXPECT_FALSE(tags.elements[1]);
  const test::WireArray matrix = test::decode_array(*row[21]);
  EXPECT_EQ(matrix.lengths, (std::vector<int32_t>{2, 2}));
  EXPECT_EQ(test::decode_float8(*matrix.elements[2]), 3);
  EXPECT_FALSE(row[22]);

  EXPECT_EQ(test::decode_int(*decoded[1][17]), -9);
  EXPECT_EQ(decoded[1][18], "set");
  EXPECT_TRUE(test::decode_array(*decoded[1][19]).elements.empty());
  EXPECT_EQ(test::decode_int(*test::decode_array(*decoded[1][22]).elements[0]), 5);
}

TEST(BatchOf, SysTimeIsAnInstantAndLocalTimeIsNot) {
  const RecordBatch batch =
      batch_of(std::vector<Everything>(1), column("at", &Everything::at),
               column("local", &Everything::local), column("day", &Everything::day));
  EXPECT_TRUE(batch.schema()->at(0).utc);
  EXPECT_FALSE(batch.schema()->at(1).utc);
  EXPECT_EQ(batch.schema()->at(1).unit, TimeUnit::kNano);
  const bool wide = sizeof(std::chrono::days::rep) == 8;
  EXPECT_EQ(batch.schema()->at(2).kind, wide ? ColumnKind::kDays64 : ColumnKind::kDate32);
}

// A 64-bit count of days must not be read as 32 bits: 2^32 days later is another date.
TEST(BatchOf, DaysBeyondTheRangeAreRejectedNotWrapped) {
  using Days = std::chrono::sys_days;
  constexpr auto kWrap = std::chrono::days{int64_t{1} << 32};
  struct Row {
    Days day;
    Days at;
  };
  const auto largest = std::chrono::days{std::numeric_limits<std::chrono::days::rep>::max()};
  const auto lowest = std::chrono::days{std::numeric_limits<std::chrono::days::rep>::min()};
  std::vector<Row> rows{{Days{}, Days{}},        {Days{kWrap}, Days{}},   {Days{}, Days{kWrap}},
                        {Days{largest}, Days{}}, {Days{}, Days{largest}}, {Days{lowest}, Days{}},
                        {Days{}, Days{lowest}},  {Days{}, Days{}}};
  const RecordBatch batch =
      batch_of(std::move(rows), column("day", &Row::day), column("at", &Row::at));
  auto encoder =
      RowEncoder::create(test::encode_columns(batch, {{oid::kDate}, {oid::kTimestamp}}), {});
  ASSERT_TRUE(encoder);
  const test::Encoded encoded = test::encode_all(*encoder, batch, {0, 8, nullptr}, 200);
  EXPECT_EQ(encoded.rejected.size(), 6U);
  EXPECT_EQ(test::decode_tuples(encoded.tuples, 2).size(), 2U);
}

// What MemberType<std::optional<T>> builds on.
template <class T>
void expect_layout(T value) {
  std::optional<T> engaged = value;
  std::optional<T> empty = value;
  empty.reset();
  const auto* flag = reinterpret_cast<const uint8_t*>(&engaged) + sizeof(T);
  EXPECT_EQ(static_cast<const void*>(&*engaged), static_cast<const void*>(&engaged));
  EXPECT_EQ(*flag, 1);
  EXPECT_EQ(*(reinterpret_cast<const uint8_t*>(&empty) + sizeof(T)), 0);
}

TEST(BatchOf, OptionalKeepsItsFlagBehindTheValue) {
  expect_layout(true);
  expect_layout(int8_t{1});
  expect_layout(int32_t{1});
  expect_layout(2.5);
  expect_layout(std::string("x"));
  expect_layout(std::string(100, 'x'));
  expect_layout(std::string_view("x"));
  expect_layout(std::array<std::byte, 16>{});
  expect_layout(std::vector<int32_t>{1});
  expect_layout(std::chrono::sys_days{});
}

TEST(BatchOf, LendsASpanAndOwnsAVector) {
  const std::vector<Everything> rows(3);
  const RecordBatch lent =
      batch_of(std::span<const Everything>(rows), column("id", &Everything::id));
  EXPECT_EQ(lent.columns()[0].values, &rows[0].id);
  std::vector<Everything> given(3);
  const void* const address = &given[0].id;
  const RecordBatch owned = batch_of(std::move(given), column("id", &Everything::id));
  EXPECT_EQ(owned.columns()[0].values, address);
  EXPECT_GE(owned.memory_bytes(), 3 * sizeof(Everything));
}

TEST(BatchOf, AnEmptyVectorIsABatchWithoutRows) {
  const RecordBatch batch = batch_of(std::vector<Everything>(), column("name", &Everything::name),
                                     column("maybe", &Everything::maybe));
  EXPECT_EQ(batch.row_count(), 0U);
  EXPECT_TRUE(rows_of(batch, {{oid::kText}, {oid::kInt4}}).empty());
}

TEST(BatchOfColumns, JoinsVectorsAndSpans) {
  const std::vector<double> lent{0.5, 1.5};
  auto batch = batch_of_columns(
      column("id", std::vector<int32_t>{1, 2}), column("price", std::span<const double>(lent)),
      column("name", std::vector<std::optional<std::string>>{"a", std::nullopt}));
  ASSERT_TRUE(batch);
  const auto rows = rows_of(*batch, {{oid::kInt4}, {oid::kFloat8}, {oid::kText}});
  EXPECT_EQ(test::decode_int(*rows[1][0]), 2);
  EXPECT_EQ(test::decode_float8(*rows[1][1]), 1.5);
  EXPECT_EQ(rows[0][2], "a");
  EXPECT_FALSE(rows[1][2]);
}

TEST(BatchOfColumns, RefusesColumnsOfDifferentLength) {
  auto batch = batch_of_columns(column("a", std::vector<int32_t>{1, 2}),
                                column("b", std::vector<int32_t>{1}));
  ASSERT_FALSE(batch);
  EXPECT_EQ(batch.error().code, Errc::kMalformedBatch);
}

TEST(RecordBatch, RunsItsReleaseOnce) {
  int released = 0;
  {
    RecordBatch batch(std::make_shared<const Schema>(), {}, 1, 0, [&] { ++released; });
    RecordBatch moved(std::move(batch));
    moved.position = 9;
    RecordBatch other;
    other = std::move(moved);
    EXPECT_EQ(other.position, 9U);
    EXPECT_EQ(released, 0);
  }
  EXPECT_EQ(released, 1);
}

}  // namespace
}  // namespace pgsink
