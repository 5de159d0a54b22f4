// Deletes of a changelog carry their key and nothing else, in COPY and in arrays.

#include <random>

#include <pgproto/oid.h>

#include <pgsink/batch_of.h>
#include <pgsink/encode/rows/column_arrays.h>
#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/copy_decoder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

namespace oid = pgproto::oid;
using Role = EncodeColumn::Role;
using test::WireField;
using test::WireRow;

struct Change {
  std::optional<std::string> op;
  int32_t key = 0;
  std::optional<std::string> number, text;
};

RecordBatch changes(std::vector<Change> rows) {
  return batch_of(std::move(rows), column("_op", &Change::op), column("key", &Change::key),
                  column("number", &Change::number), column("text", &Change::text));
}

std::vector<EncodeColumn> columns(const RecordBatch& batch) {
  const Schema& schema = *batch.schema();
  return {{0, schema[0], "change", 18, -1, Role::kChange},
          {1, schema[1], "key", oid::kInt4, -1, Role::kKey},
          {2, schema[2], "number", oid::kInt4, -1, Role::kUnlessLacking, true},
          {3, schema[3], "text", oid::kText, -1, Role::kUnlessLacking}};
}

std::string big_endian(int32_t value) {
  std::string bytes(4, '\0');
  pgproto::store_be(std::as_writable_bytes(std::span(bytes)).data(), value);
  return bytes;
}

/// Rows of every kind, and the fields that each should become; none if it is to be rejected.
struct Stream {
  std::vector<Change> rows;
  std::vector<std::optional<WireRow>> expected;
};

Stream random_stream(uint32_t seed, uint32_t deletes_of_ten) {
  std::mt19937 random(seed);
  Stream stream;
  for (int32_t i = 0; i < 700; ++i) {
    Change row{.op = random() % 10 < deletes_of_ten ? "D" : "U",
               .key = i,
               .number = std::to_string(i % 90),
               .text = std::string(random() % 40, 'x')};
    const bool deletes = row.op == "D";
    switch (random() % 12) {
      case 0:
        row.number.reset();
        break;
      case 1:
        row.number = "no number";
        break;
      case 2:
        row.text.reset();
        break;
      case 3:
        row.text = "\xff";
        break;
      case 4:
        if (i % 5 == 0) row.op.reset();
        break;
      default:
        break;
    }
    const bool fits = row.number && row.number != "no number" && row.text != "\xff";
    stream.rows.push_back(row);
    if (!row.op || (!deletes && !fits)) {
      stream.expected.emplace_back();
      continue;
    }
    WireRow fields{WireField(row.op), WireField(big_endian(row.key))};
    fields.push_back(deletes ? WireField() : WireField(big_endian(std::stoi(*row.number))));
    fields.push_back(deletes ? WireField() : WireField(row.text));
    stream.expected.emplace_back(std::move(fields));
  }
  return stream;
}

std::vector<WireRow> kept(const Stream& stream) {
  std::vector<WireRow> rows;
  for (const auto& row : stream.expected) {
    if (row) rows.push_back(*row);
  }
  return rows;
}

void expect_rejected(const Stream& stream, const std::vector<Rejection>& rejected) {
  std::vector<size_t> found, expected;
  for (const Rejection& rejection : rejected) found.push_back(rejection.row);
  for (size_t i = 0; i < stream.expected.size(); ++i) {
    if (!stream.expected[i]) expected.push_back(i);
  }
  EXPECT_EQ(found, expected);
}

TEST(Changes, ADeleteCarriesItsKeyOnly) {
  for (uint32_t seed = 1; seed <= 44; ++seed) {
    const Stream stream = random_stream(seed, seed % 11);
    const RecordBatch batch = changes(stream.rows);
    for (const Kernels kernels : {Kernels::kBest, Kernels::kPortable}) {
      auto encoder = RowEncoder::create(columns(batch), {}, kernels);
      ASSERT_TRUE(encoder) << encoder.error().to_string();
      const auto encoded =
          test::encode_all(*encoder, batch, {0, batch.row_count(), nullptr}, 300 + 200 * seed);
      EXPECT_EQ(test::decode_tuples(encoded.tuples, 4), kept(stream)) << seed;
      expect_rejected(stream, encoded.rejected);
    }
    auto arrays = ColumnArrays::create(columns(batch), {});
    ASSERT_TRUE(arrays) << arrays.error().to_string();
    std::vector<Rejection> rejected;
    arrays->append(batch, {0, batch.row_count(), nullptr}, rejected);
    expect_rejected(stream, rejected);
    const std::vector<WireRow> expected = kept(stream);
    ASSERT_EQ(arrays->row_count(), expected.size());
    for (size_t column = 0; column < 4; ++column) {
      pgproto::Bytes fields = arrays->fields(column);
      for (const WireRow& row : expected) {
        const auto length = pgproto::load_be<int32_t>(fields.data());
        fields = fields.subspan(4);
        ASSERT_EQ(length < 0, !row[column]);
        if (length < 0) continue;
        const auto size = static_cast<size_t>(length);
        ASSERT_EQ(pgproto::as_text(fields.first(size)), *row[column]);
        fields = fields.subspan(size);
      }
      EXPECT_TRUE(fields.empty());
    }
  }
}

TEST(Changes, AReasonIsGivenForEachRow) {
  const RecordBatch batch =
      changes({{"I", 1, "x", ""}, {"I", 2, std::nullopt, ""}, {"?", 3, "1", ""}});
  auto arrays = ColumnArrays::create(columns(batch), {});
  ASSERT_TRUE(arrays) << arrays.error().to_string();
  std::vector<Rejection> rejected;
  arrays->append(batch, {0, 3, nullptr}, rejected);
  ASSERT_EQ(rejected.size(), 3U);
  EXPECT_EQ(rejected[0].error.sqlstate, "22P02");
  EXPECT_EQ(rejected[1].error.sqlstate, "23502");
  EXPECT_NE(rejected[1].error.message.find("NULL in a NOT NULL column"), std::string::npos);
  EXPECT_NE(rejected[2].error.message.find("\"?\" is not a kind of change"), std::string::npos);
}

}  // namespace
}  // namespace pgsink
