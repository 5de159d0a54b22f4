// Rows of columns of any form, with the vector code of this processor and without: the same bytes,
// however the rows fall into blocks, windows and chunks.

#include <array>
#include <cstring>
#include <random>

#include <pgproto/oid.h>

#include <pgsink/encode/rows/row_encoder.h>

#include <gtest/gtest.h>

#include "support/arrow_builder.h"
#include "support/copy_decoder.h"
#include "support/copy_harness.h"

namespace pgsink {
namespace {

namespace oid = pgproto::oid;
using test::ColumnType;
using test::Encoded;
using test::Nullable;
using Int128 = __int128;

constexpr pgproto::Oid kFloat8Array = 1022;
constexpr pgproto::Oid kInt4Array = 1007;
constexpr size_t kRows = 700;
constexpr size_t kDecimalRows = 270;
constexpr size_t kRunOfSmall = 40;

Encoded encode(const RecordBatch& batch, const std::vector<ColumnType>& types, Kernels kernels,
               RowRange rows, size_t out_bytes) {
  auto encoder = RowEncoder::create(test::encode_columns(batch, types), {}, kernels);
  if (!encoder) throw std::runtime_error(encoder.error().to_string());
  return test::encode_all(*encoder, batch, rows, out_bytes);
}

void expect_same(const RecordBatch& batch, const std::vector<ColumnType>& types,
                 const std::string& what) {
  std::vector<uint32_t> indexes;
  for (uint32_t i = 0; i < batch.row_count(); ++i) {
    if (i % 5 != 1) indexes.push_back(i);
  }
  const RowRange all{0, batch.row_count(), nullptr};
  const RowRange some{0, indexes.size(), indexes.data()};
  for (const size_t out_bytes : {size_t{7000}, size_t{20'000}, size_t{1} << 20}) {
    for (const RowRange& rows : {all, some}) {
      const Encoded best = encode(batch, types, Kernels::kBest, rows, out_bytes);
      const Encoded portable = encode(batch, types, Kernels::kPortable, rows, out_bytes);
      ASSERT_EQ(best.tuples, portable.tuples) << what << ", chunks of " << out_bytes;
      ASSERT_EQ(best.rejected.size(), portable.rejected.size()) << what;
      for (size_t i = 0; i < best.rejected.size(); ++i) {
        ASSERT_EQ(best.rejected[i].row, portable.rejected[i].row) << what;
      }
    }
  }
}

std::string text_of(size_t bytes, std::mt19937_64& random) {
  std::string text(bytes, ' ');
  for (char& c : text) c = static_cast<char>('a' + random() % 26);
  return text;
}

/// Text of up to `bytes_max`, of which every `null_every`th is NULL; some hold other characters
/// than ASCII ones, a few a NUL.
Nullable<std::string> texts(size_t bytes_max, size_t null_every, std::mt19937_64& random) {
  Nullable<std::string> values;
  for (size_t i = 0; i < kRows; ++i) {
    std::string text = text_of(random() % (bytes_max + 1), random);
    if (i % 97 == 5) text += "\xc3\xa9\xe2\x82\xac";
    if (i % 211 == 9) text.push_back('\0');
    const bool null = null_every != 0 && i % null_every == 0;
    values.push_back(null ? std::nullopt : std::optional(std::move(text)));
  }
  return values;
}

TEST(RowWriter, TextOfAnyLengthIsTheSameWithAndWithoutVectorCode) {
  std::mt19937_64 random(1);
  for (const size_t bytes_max : {0U, 3U, 63U, 64U, 65U, 128U, 190U, 256U, 257U, 1500U}) {
    for (const size_t null_every : {0U, 3U}) {
      std::vector<test::ArrowNode> nodes;
      std::vector<ColumnType> types;
      for (const char* const format : {"u", "U", "vu"}) {
        nodes.push_back(test::arrow_text(format, texts(bytes_max, null_every, random)));
        types.push_back({nodes.size() == 2 ? oid::kJsonb : oid::kText});
      }
      nodes.push_back(test::arrow_text("z", texts(bytes_max, null_every, random)));
      types.push_back({oid::kBytea});
      expect_same(test::import_columns(std::move(nodes)), types,
                  "up to " + std::to_string(bytes_max) + " bytes");
    }
  }
}

/// Lists of one size if `size_max` is zero, else of sizes below it.
test::ArrowNode float_lists(const std::string& format, size_t size, size_t size_max,
                            bool some_null) {
  Nullable<size_t> sizes;
  Nullable<double> values;
  for (size_t i = 0; i < kRows; ++i) {
    const size_t count = size_max == 0 ? size : i * 7 % size_max;
    const bool null = some_null && i % 4 == 0;
    sizes.push_back(null ? std::nullopt : std::optional(count));
    for (size_t k = 0; !null && k < count; ++k) values.push_back(static_cast<double>(i * 10 + k));
  }
  return test::arrow_list(format, sizes, test::arrow_fixed("g", values));
}

TEST(RowWriter, ArraysAndGapsAreTheSameWithAndWithoutVectorCode) {
  std::mt19937_64 random(2);
  for (const bool some_null : {false, true}) {
    for (const size_t size : {0U, 1U, 4U, 5U, 6U}) {
      Nullable<int64_t> entries;
      Nullable<int32_t> items;
      for (size_t i = 0; i < kRows; ++i) {
        const bool null = some_null && i % 6 == 2;
        entries.push_back(null ? std::nullopt : std::optional(static_cast<int64_t>(i % 3)));
      }
      for (size_t i = 0; i < 3 * kRows; ++i) items.push_back(static_cast<int32_t>(i));
      std::vector<test::ArrowNode> nodes;
      nodes.push_back(float_lists("+l", size, 0, some_null));
      nodes.push_back(test::arrow_dictionary(
          entries, test::arrow_text("u", {"one", std::nullopt, "a much longer third entry"})));
      nodes.push_back(float_lists("+L", 0, size + 2, some_null));
      nodes.push_back(test::arrow_text("u", texts(40, 0, random)));
      nodes.push_back(
          test::arrow_fixed_list(3, std::vector<bool>(kRows, true), test::arrow_fixed("i", items)));
      nodes.push_back(test::arrow_fixed("l", entries));
      expect_same(test::import_columns(std::move(nodes)),
                  {{kFloat8Array},
                   {oid::kText},
                   {kFloat8Array},
                   {oid::kText},
                   {kInt4Array},
                   {oid::kNumeric}},
                  "lists of " + std::to_string(size));
    }
  }
}

/// Magnitudes of every size, many with trailing zeros, many next to a multiple of 10^8.
Int128 some_decimal(size_t width, std::mt19937_64& random) {
  using UInt128 = unsigned __int128;
  const auto bits = static_cast<unsigned>(random() % (8 * width - 1));
  UInt128 value = (static_cast<UInt128>(random()) << 64 | random()) & ((UInt128{1} << bits) - 1);
  if (random() % 3 == 0) {
    for (auto zeros = random() % (2 * width); zeros > 0; --zeros) value = value / 10;
    for (auto zeros = random() % (2 * width); zeros > 0; --zeros) value = value * 10;
  }
  constexpr std::array<unsigned, 3> kNear = {0, 1, 99'999'999};
  if (random() % 5 == 0) value = value / 100'000'000 * 100'000'000 + kNear[random() % 3];
  value &= (UInt128{1} << (8 * width - 1)) - 1;
  const auto positive = static_cast<Int128>(value);
  return random() % 2 == 0 ? positive : -positive;
}

RecordBatch decimal_batch(size_t width, int32_t scale, std::vector<std::byte>& values,
                          const uint8_t* validity_bits) {
  ColumnView column;
  column.kind = width == 4   ? ColumnKind::kDecimal32
                : width == 8 ? ColumnKind::kDecimal64
                             : ColumnKind::kDecimal128;
  column.values = values.data();
  column.stride_bytes = static_cast<ptrdiff_t>(width);
  column.validity_bits = validity_bits;
  Field field;
  field.name = "n";
  field.kind = column.kind;
  field.precision = width == 4 ? 9 : width == 8 ? 18 : 38;
  field.scale = scale;
  auto schema = std::make_shared<const Schema>(Schema{field});
  return {std::move(schema), {column}, values.size() / width, values.size(), nullptr};
}

TEST(RowWriter, DecimalsAreTheSameWithAndWithoutVectorCode) {
  std::mt19937_64 random(3);
  const auto modifier = [](int32_t precision, int32_t scale) {
    return (precision << 16 | scale) + 4;
  };
  for (const size_t width : {4U, 8U, 16U}) {
    for (int32_t scale = 0; scale <= 19; scale += 1 + scale / 8) {
      std::vector<std::byte> values(kDecimalRows * width);
      for (size_t i = 0; i < kDecimalRows; ++i) {
        // Runs of values below 10^16 go another way than others.
        const bool below = i / kRunOfSmall % 2 == 1;
        Int128 value = some_decimal(below ? std::min<size_t>(width, 6) : width, random);
        if (i == 0) value = 0;
        if (i == 1) value = -(Int128{1} << (std::min<size_t>(width, 8) * 8 - 1));
        std::memcpy(values.data() + i * width, &value, width);
      }
      std::vector<uint8_t> validity(kDecimalRows / 8 + 1);
      for (uint8_t& bits : validity) bits = static_cast<uint8_t>(random() | random());
      for (const uint8_t* const bits :
           {static_cast<const uint8_t*>(nullptr), static_cast<const uint8_t*>(validity.data())}) {
        const RecordBatch batch = decimal_batch(width, scale, values, bits);
        for (const int32_t limit : {-1, modifier(18, 4), modifier(20, scale), modifier(38, 10)}) {
          expect_same(batch, {{oid::kNumeric, limit}},
                      std::to_string(width) + " bytes, scale " + std::to_string(scale));
        }
      }
    }
  }
}

}  // namespace
}  // namespace pgsink
