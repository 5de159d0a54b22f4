// The digest of rows: for each column a chain of multiplications, one a value, whose halves are
// folded together (128 bits to 64). A chain's state depends on every value and on their order; the
// digest adds the chains up, because columns go by name and not by place.

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>

#include <pgsink/row_digest.h>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/values/nested.h"
#include "pgsink/encode/values/render.h"

namespace pgsink {
namespace encode::row_digest {
namespace {

// Odd numbers without a pattern: the fractional digits of square roots of primes.
constexpr uint64_t kValue = 0x6a09e667f3bcc909, kNull = 0xbb67ae8584caa73b,
                   kLength = 0x3c6ef372fe94f82b, kBegin = 0xa54ff53a5f1d36f1,
                   kEnd = 0x510e527fade682d1;

constexpr std::string_view kTextName = "text", kBinaryName = "binary";

uint64_t fold(uint64_t a, uint64_t b) {
  const UInt128 product = static_cast<UInt128>(a) * b;
  return static_cast<uint64_t>(product) ^ static_cast<uint64_t>(product >> 64);
}

/// The next state of a chain.
uint64_t add_word(uint64_t state, uint64_t word) { return fold(state ^ word, kValue); }
uint64_t add_null(uint64_t state) { return fold(state ^ kNull, kNull); }

/// Reads of a size that is not a multiple of 8 overlap: the count is in the state.
uint64_t add_bytes(uint64_t state, const std::byte* from, size_t count) {
  state = fold(state ^ count, kLength);
  if (count >= 8) {
    const std::byte* const last = from + count - 8;
    for (; from < last; from += 8) state = add_word(state, load<uint64_t>(from));
    return add_word(state, load<uint64_t>(last));
  }
  if (count >= 4) {
    const uint64_t high = load<uint32_t>(from + count - 4);
    return add_word(state, high << 32 | load<uint32_t>(from));
  }
  if (count == 0) return state;
  const auto byte = [&](size_t i) { return std::to_integer<uint64_t>(from[i]); };
  return add_word(state, byte(0) | byte(count / 2) << 8 | byte(count - 1) << 16);
}

uint64_t add_bytes(uint64_t state, std::string_view bytes) {
  return add_bytes(state, reinterpret_cast<const std::byte*>(bytes.data()), bytes.size());
}

struct Kind {
  ColumnKind kind;
  /// What it means. Stored digests go by it, so it never changes; layouts of the same values have
  /// the same.
  std::string_view meaning;
  size_t fixed_bytes;  ///< Of one value; 0 for all kinds without one size.
};
constexpr Kind kKinds[] = {
    {ColumnKind::kNull, "null", 0},
    {ColumnKind::kBoolBits, "bool", 0},
    {ColumnKind::kBoolBytes, "bool", 1},
    {ColumnKind::kInt8, "int8", 1},
    {ColumnKind::kInt16, "int16", 2},
    {ColumnKind::kInt32, "int32", 4},
    {ColumnKind::kInt64, "int64", 8},
    {ColumnKind::kUint8, "uint8", 1},
    {ColumnKind::kUint16, "uint16", 2},
    {ColumnKind::kUint32, "uint32", 4},
    {ColumnKind::kUint64, "uint64", 8},
    {ColumnKind::kFloat16, "float16", 2},
    {ColumnKind::kFloat32, "float32", 4},
    {ColumnKind::kFloat64, "float64", 8},
    {ColumnKind::kDecimal32, "decimal32", 4},
    {ColumnKind::kDecimal64, "decimal64", 8},
    {ColumnKind::kDecimal128, "decimal128", 16},
    {ColumnKind::kDecimal256, "decimal256", 32},
    {ColumnKind::kDate32, "date32", 4},
    {ColumnKind::kDate64, "date64", 8},
    {ColumnKind::kDays64, "days64", 8},
    {ColumnKind::kTime32, "time32", 4},
    {ColumnKind::kTime64, "time64", 8},
    {ColumnKind::kTimestamp, "timestamp", 8},
    {ColumnKind::kDuration, "duration", 8},
    {ColumnKind::kIntervalMonths, "months", 4},
    {ColumnKind::kIntervalDayTime, "day_time", 8},
    {ColumnKind::kIntervalMonthDayNano, "month_day_nano", 16},
    {ColumnKind::kIntervalMonthDayMicro, "month_day_micro", 16},
    {ColumnKind::kText32, kTextName, 0},
    {ColumnKind::kText64, kTextName, 0},
    {ColumnKind::kTextView, kTextName, 0},
    {ColumnKind::kStdString, kTextName, 0},
    {ColumnKind::kStdStringView, kTextName, 0},
    {ColumnKind::kBinary32, kBinaryName, 0},
    {ColumnKind::kBinary64, kBinaryName, 0},
    {ColumnKind::kBinaryView, kBinaryName, 0},
    {ColumnKind::kStdBytes, kBinaryName, 0},
    {ColumnKind::kFixedBinary, "fixed_binary", 0},
    {ColumnKind::kUuid, "uuid", 16},
    {ColumnKind::kList32, "list", 0},
    {ColumnKind::kList64, "list", 0},
    {ColumnKind::kFixedList, "list", 0},
    {ColumnKind::kStdVector, "list", 0},
    {ColumnKind::kStruct, "struct", 0},
    {ColumnKind::kMap, "map", 0},
    {ColumnKind::kDictionary, "dictionary", 0},
};

constexpr size_t kKindCount = static_cast<size_t>(ColumnKind::kDictionary) + 1;
constexpr auto kByKind = [] {
  std::array<Kind, kKindCount> table{};
  for (const Kind& kind : kKinds) table[static_cast<size_t>(kind.kind)] = kind;
  return table;
}();
static_assert(std::ranges::none_of(kByKind, [](const Kind& kind) { return kind.meaning.empty(); }));

const Kind& kind_of(const Field& field) { return kByKind[static_cast<size_t>(field.kind)]; }

std::string_view unit_name(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kSecond:
      return "s";
    case TimeUnit::kMilli:
      return "ms";
    case TimeUnit::kMicro:
      return "us";
    case TimeUnit::kNano:
      return "ns";
  }
  return "";
}

/// What a chain begins with: the column's name and type.
uint64_t add_field(uint64_t state, const Field& field) {
  state = add_bytes(state, field.name);
  if (field.kind == ColumnKind::kDictionary) return add_field(state, field.children.front());
  state = add_bytes(state, kind_of(field).meaning);
  state = add_bytes(state, unit_name(field.unit));
  state = add_word(state, field.utc ? 1 : 0);
  state = add_word(state, static_cast<uint32_t>(field.scale));
  for (const Field& child : field.children) state = add_field(state, child);
  return add_word(state, field.children.size());
}

/// A value of a fixed size.
uint64_t add_fixed(uint64_t state, const std::byte* from, size_t bytes) {
  for (; bytes > 8; from += 8, bytes -= 8) state = add_word(state, load<uint64_t>(from));
  uint64_t word = 0;
  std::memcpy(&word, from, bytes);
  return add_word(state, word);
}

bool is_bytes(const Field& field) {
  const std::string_view means = kind_of(field).meaning;
  return means == kTextName || means == kBinaryName || field.kind == ColumnKind::kFixedBinary;
}

bool bit_at(const ColumnView& column, size_t row) {
  const size_t bit = static_cast<size_t>(column.offset) + row;
  return (static_cast<const uint8_t*>(column.values)[bit >> 3] >> (bit & 7) & 1) != 0;
}

uint64_t add_value(uint64_t state, const Field& field, const ColumnView& column, size_t row);

uint64_t add_items(uint64_t state, const Field& field, const ColumnView& column, size_t row) {
  PGPROTO_ASSERT(is_list(field.kind) || field.kind == ColumnKind::kMap);
  ColumnView scratch;
  const ListItems items = list_items(column, row, field.width, scratch);
  state = fold(state ^ items.count, kLength);
  for (size_t i = 0; i < items.count; ++i) {
    state = add_value(state, field.children.front(), *items.elements, items.first + i);
  }
  return state;
}

/// A value of any kind, NULL or not.
uint64_t add_value(uint64_t state, const Field& field, const ColumnView& column, size_t row) {
  if (field.kind == ColumnKind::kNull || is_null_at(column, row)) return add_null(state);
  if (const size_t bytes = kind_of(field).fixed_bytes; bytes > 0) {
    return add_fixed(state, value_at(column, row), bytes);
  }
  if (is_bytes(field)) return add_bytes(state, bytes_at(column, field, row));
  switch (field.kind) {
    case ColumnKind::kBoolBits:
      return add_word(state, bit_at(column, row) ? 1 : 0);
    case ColumnKind::kDictionary:
      return add_value(state, field.children.front(), column.children.front(),
                       dictionary_row(column, field.index_kind, row));
    case ColumnKind::kStruct:
      for (size_t i = 0; i < field.children.size(); ++i) {
        state = add_value(state, field.children[i], column.children[i], row);
      }
      return add_word(state, kEnd);
    default:
      return add_items(state, field, column, row);
  }
}

/// As add_fixed() for each row.
template <size_t bytes>
uint64_t add_fixed_block(uint64_t state, const ColumnView& column, const Block& block,
                         const uint8_t* valid) {
  const std::byte* at = value_at(column, block.first);
  for (size_t i = 0; i < block.count; ++i, at += column.stride_bytes) {
    const bool null = valid != nullptr && valid[i] == 0;
    state = null ? add_null(state) : add_fixed(state, at, bytes);
  }
  return state;
}

uint64_t add_block(uint64_t state, const Field& field, const ColumnView& column,
                   const Block& block) {
  uint8_t scratch[kFlagBytes];
  switch (kind_of(field).fixed_bytes) {
    case 1:
      return add_fixed_block<1>(state, column, block, load_validity(column, block, scratch));
    case 2:
      return add_fixed_block<2>(state, column, block, load_validity(column, block, scratch));
    case 4:
      return add_fixed_block<4>(state, column, block, load_validity(column, block, scratch));
    case 8:
      return add_fixed_block<8>(state, column, block, load_validity(column, block, scratch));
    case 16:
      return add_fixed_block<16>(state, column, block, load_validity(column, block, scratch));
    default:
      break;
  }
  if (is_bytes(field)) {
    const uint8_t* valid = load_validity(column, block, scratch);
    std::string_view values[kBlockRowsMax];
    load_bytes(column, block, valid, field, values);
    for (size_t i = 0; i < block.count; ++i) {
      const bool null = valid != nullptr && valid[i] == 0;
      state = null ? add_null(state) : add_bytes(state, values[i]);
    }
    return state;
  }
  for (size_t i = 0; i < block.count; ++i) state = add_value(state, field, column, block.row(i));
  return state;
}

}  // namespace
}  // namespace encode::row_digest

void RowDigest::add(const RecordBatch& batch) { add(batch, 0, batch.row_count()); }

void RowDigest::add(const RecordBatch& batch, size_t begin, size_t count) {
  using namespace encode::row_digest;
  const Schema& schema = *batch.schema();
  for (size_t c = columns_.size(); c < schema.size(); ++c) {
    // A column without a name goes by its place.
    const uint64_t start = schema[c].name.empty() ? kBegin + c : kBegin;
    columns_.push_back(add_field(start, schema[c]));
  }
  for (size_t c = 0; c < schema.size(); ++c) {
    for (size_t done = 0; done < count; done += encode::kBlockRowsMax) {
      const encode::Block block{begin + done, std::min(encode::kBlockRowsMax, count - done),
                                nullptr};
      columns_[c] = add_block(columns_[c], schema[c], batch.columns()[c], block);
    }
  }
  rows_ += count;
}

std::string RowDigest::text() const {
  using namespace encode::row_digest;
  uint64_t sum = 0;
  for (const uint64_t column : columns_) sum += fold(column ^ kEnd, kBegin);
  uint64_t bits = fold(sum ^ rows_, kEnd);
  std::string digits;
  for (int digit = 0; digit < 16; ++digit, bits >>= 4) digits += "0123456789abcdef"[bits & 15];
  return digits;
}

}  // namespace pgsink
