#include "pgsink/encode/base/loaders.h"

#include <bit>
#include <string>
#include <utility>

namespace pgsink::encode {
namespace {

template <class T>
void load_integers(const ColumnView& column, const Block& block, Integer* values) {
  for_each_value<T>(column, block, [&](size_t i, T value) {
    const auto wide = static_cast<uint64_t>(value);  // sign-extended if T is signed
    const bool negative = std::cmp_less(value, 0);
    values[i] = {negative ? 0 - wide : wide, negative};
  });
}

template <class T>
void load_decimals(const ColumnView& column, const Block& block, int32_t scale, Decimal* values) {
  for_each_value<T>(column, block, [&](size_t i, T value) {
    const bool negative = value < 0;
    const auto wide = static_cast<UInt128>(value);
    const UInt128 magnitude = negative ? 0 - wide : wide;
    values[i] = {{static_cast<uint64_t>(magnitude), static_cast<uint64_t>(magnitude >> 64), 0, 0},
                 negative,
                 scale};
  });
}

void load_decimals_256(const ColumnView& column, const Block& block, int32_t scale,
                       Decimal* values) {
  using Words = std::array<uint64_t, 4>;
  for_each_value<Words>(column, block, [&](size_t i, Words words) {
    const bool negative = (words[3] >> 63) != 0;
    if (negative) {
      uint64_t carry = 1;
      for (uint64_t& word : words) {
        word = ~word + carry;
        carry = (carry != 0 && word == 0) ? 1 : 0;
      }
    }
    values[i] = {words, negative, scale};
  });
}

template <class Offset>
std::string_view offset_value(const ColumnView& column, size_t row) {
  const auto* at = value_at(column, row);
  const auto from = load<Offset>(at);
  const auto to = load<Offset>(at + sizeof(Offset));
  return {static_cast<const char*>(column.heap) + from, static_cast<size_t>(to - from)};
}

std::string_view view_value(const ColumnView& column, size_t row) {
  constexpr size_t kInlineMax = 12;
  const std::byte* const at = value_at(column, row);
  const auto size = static_cast<size_t>(load<int32_t>(at));
  if (size <= kInlineMax) return {reinterpret_cast<const char*>(at) + 4, size};
  const auto heap = static_cast<size_t>(load<int32_t>(at + 8));
  const auto offset = load<int32_t>(at + 12);
  return {static_cast<const char*>(column.heaps[heap]) + offset, size};
}

template <class Read>
void load_with(const Block& block, const uint8_t* valid, std::string_view* values, Read&& read) {
  for (size_t i = 0; i < block.count; ++i) {
    values[i] = valid != nullptr && valid[i] == 0 ? std::string_view{} : read(block.row(i));
  }
}

/// A NULL row may refer to undefined memory, so object and view kinds are read only where valid.
template <class Read>
void with_reader(const ColumnView& column, const Field& field, Read&& f) {
  switch (column.kind) {
    case ColumnKind::kText32:
    case ColumnKind::kBinary32:
      return f([&](size_t row) { return offset_value<int32_t>(column, row); });
    case ColumnKind::kText64:
    case ColumnKind::kBinary64:
      return f([&](size_t row) { return offset_value<int64_t>(column, row); });
    case ColumnKind::kTextView:
    case ColumnKind::kBinaryView:
      return f([&](size_t row) { return view_value(column, row); });
    case ColumnKind::kStdString:
      return f([&](size_t row) {
        return std::string_view(*reinterpret_cast<const std::string*>(value_at(column, row)));
      });
    case ColumnKind::kStdStringView:
      return f([&](size_t row) {
        return *reinterpret_cast<const std::string_view*>(value_at(column, row));
      });
    case ColumnKind::kStdBytes:
      return f([&](size_t row) {
        const ListSpan bytes = column.read_list(value_at(column, row));
        return std::string_view(static_cast<const char*>(bytes.data), bytes.count);
      });
    default:
      break;
  }
  const size_t width = column.kind == ColumnKind::kUuid ? 16 : static_cast<size_t>(field.width);
  f([&, width](size_t row) {
    return std::string_view(reinterpret_cast<const char*>(value_at(column, row)), width);
  });
}

}  // namespace

void load_bool(const ColumnView& column, const Block& block, const uint8_t*, const Field&,
               bool* values) {
  if (column.kind == ColumnKind::kBoolBytes) {
    for_each_value<uint8_t>(column, block, [&](size_t i, uint8_t byte) { values[i] = byte != 0; });
    return;
  }
  const auto* bits = static_cast<const uint8_t*>(column.values);
  for (size_t i = 0; i < block.count; ++i) {
    const size_t bit = static_cast<size_t>(column.offset) + block.row(i);
    values[i] = ((bits[bit >> 3] >> (bit & 7)) & 1U) != 0;
  }
}

void load_integer(const ColumnView& column, const Block& block, const uint8_t*, const Field&,
                  Integer* values) {
  switch (column.kind) {
    case ColumnKind::kInt8:
      return load_integers<int8_t>(column, block, values);
    case ColumnKind::kInt16:
      return load_integers<int16_t>(column, block, values);
    case ColumnKind::kInt32:
      return load_integers<int32_t>(column, block, values);
    case ColumnKind::kInt64:
      return load_integers<int64_t>(column, block, values);
    case ColumnKind::kUint8:
      return load_integers<uint8_t>(column, block, values);
    case ColumnKind::kUint16:
      return load_integers<uint16_t>(column, block, values);
    case ColumnKind::kUint32:
      return load_integers<uint32_t>(column, block, values);
    default:
      break;
  }
  PGPROTO_ASSERT(column.kind == ColumnKind::kUint64);
  load_integers<uint64_t>(column, block, values);
}

void load_float(const ColumnView& column, const Block& block, const uint8_t*, const Field&,
                Float* values) {
  switch (column.kind) {
    case ColumnKind::kFloat16:
      return for_each_value<uint16_t>(
          column, block, [&](size_t i, uint16_t bits) { values[i] = {half_to_float(bits), true}; });
    case ColumnKind::kFloat32:
      return for_each_value<float>(column, block,
                                   [&](size_t i, float value) { values[i] = {value, true}; });
    default:
      break;
  }
  PGPROTO_ASSERT(column.kind == ColumnKind::kFloat64);
  for_each_value<double>(column, block,
                         [&](size_t i, double value) { values[i] = {value, false}; });
}

void load_decimal(const ColumnView& column, const Block& block, const uint8_t*, const Field& field,
                  Decimal* values) {
  switch (column.kind) {
    case ColumnKind::kDecimal32:
      return load_decimals<int32_t>(column, block, field.scale, values);
    case ColumnKind::kDecimal64:
      return load_decimals<int64_t>(column, block, field.scale, values);
    case ColumnKind::kDecimal128:
      return load_decimals<Int128>(column, block, field.scale, values);
    default:
      break;
  }
  PGPROTO_ASSERT(column.kind == ColumnKind::kDecimal256);
  load_decimals_256(column, block, field.scale, values);
}

void load_ticks(const ColumnView& column, const Block& block, const uint8_t*, const Field&,
                int64_t* values) {
  const bool narrow = column.kind == ColumnKind::kDate32 || column.kind == ColumnKind::kTime32;
  if (narrow) {
    for_each_value<int32_t>(column, block, [&](size_t i, int32_t value) { values[i] = value; });
  } else {
    for_each_value<int64_t>(column, block, [&](size_t i, int64_t value) { values[i] = value; });
  }
}

void load_interval(const ColumnView& column, const Block& block, const uint8_t*, const Field&,
                   Interval* values) {
  struct DayTime {
    int32_t days, millis;
  };
  struct MonthDayTicks {
    int32_t months, days;
    int64_t ticks;
  };
  switch (column.kind) {
    case ColumnKind::kIntervalMonths:
      return for_each_value<int32_t>(
          column, block, [&](size_t i, int32_t months) { values[i] = {months, 0, 0, 0}; });
    case ColumnKind::kIntervalDayTime:
      return for_each_value<DayTime>(column, block, [&](size_t i, DayTime value) {
        values[i] = {0, value.days, 0, int64_t{value.millis} * 1000};
      });
    case ColumnKind::kIntervalMonthDayMicro:
      return for_each_value<MonthDayTicks>(column, block, [&](size_t i, MonthDayTicks value) {
        values[i] = {value.months, value.days, 0, value.ticks};
      });
    default:
      break;
  }
  PGPROTO_ASSERT(column.kind == ColumnKind::kIntervalMonthDayNano);
  for_each_value<MonthDayTicks>(column, block, [&](size_t i, MonthDayTicks value) {
    values[i] = {value.months, value.days, value.ticks % 1000, value.ticks / 1000};
  });
}

void load_bytes(const ColumnView& column, const Block& block, const uint8_t* valid,
                const Field& field, std::string_view* values) {
  with_reader(column, field, [&](auto&& read) { load_with(block, valid, values, read); });
}

std::string_view bytes_at(const ColumnView& column, const Field& field, size_t row) {
  std::string_view value;
  with_reader(column, field, [&](auto&& read) { value = read(row); });
  return value;
}

float half_to_float(uint16_t bits) {
  const auto sign = static_cast<uint32_t>(bits & 0x8000U) << 16;
  const uint32_t exponent = (bits >> 10) & 0x1fU;
  const uint32_t fraction = bits & 0x3ffU;
  if (exponent == 0x1f) return std::bit_cast<float>(sign | 0x7f800000U | fraction << 13);
  if (exponent == 0) {
    const float tiny = static_cast<float>(fraction) * 0x1p-24F;
    return sign != 0 ? -tiny : tiny;
  }
  return std::bit_cast<float>(sign | (exponent + 112) << 23 | fraction << 13);
}

}  // namespace pgsink::encode
