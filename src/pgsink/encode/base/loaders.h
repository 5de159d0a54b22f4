#pragma once
// Loaders: convert the values of each ColumnKind to one C++ type per family, a block at a time, so
// that M kinds and N targets need M + N pieces of code and not M × N.

#include <array>
#include <cstdint>
#include <string_view>

#include "pgsink/encode/base/field.h"

namespace pgsink::encode {

__extension__ using Int128 = __int128;
__extension__ using UInt128 = unsigned __int128;

/// Decimal is a sign, a magnitude of up to 256 bits (least significant word first) and a scale.
struct Decimal {
  std::array<uint64_t, 4> words{};
  bool negative = false;
  int32_t scale = 0;

  bool fits_128() const { return (words[2] | words[3]) == 0; }
  UInt128 low_128() const { return static_cast<UInt128>(words[1]) << 64 | words[0]; }
};

/// An integer of any width and signedness: value = negative ? -magnitude : magnitude.
struct Integer {
  uint64_t magnitude = 0;
  bool negative = false;
};

/// Interval is months, days, microseconds and the remaining nanoseconds (0 … 999, sign of micros).
struct Interval {
  int32_t months = 0;
  int32_t days = 0;
  int64_t nanos = 0;
  int64_t micros = 0;
};

/// Float is a number of a float column with its original width, because the shortest text
/// depends on it.
struct Float {
  double value = 0;
  bool single = false;  ///< The column has 16 or 32 bits: the value is exactly a float.
};

/// A Loader fills values[0 … block.count). Rows that `valid` (may be null) marks NULL get any
/// value.
template <class V>
using Loader = void (*)(const ColumnView& column, const Block& block, const uint8_t* valid,
                        const Field& field, V* values);

void load_bool(const ColumnView&, const Block&, const uint8_t* valid, const Field&, bool* values);
void load_integer(const ColumnView&, const Block&, const uint8_t* valid, const Field&,
                  Integer* values);
void load_float(const ColumnView&, const Block&, const uint8_t* valid, const Field&, Float* values);
void load_decimal(const ColumnView&, const Block&, const uint8_t* valid, const Field&,
                  Decimal* values);
/// Dates, times, timestamps and durations: the number unchanged, in the field's unit.
void load_ticks(const ColumnView&, const Block&, const uint8_t* valid, const Field&,
                int64_t* values);
void load_interval(const ColumnView&, const Block&, const uint8_t* valid, const Field&,
                   Interval* values);
/// Text, binary, fixed binary and uuid in any layout. The views live as long as the batch.
void load_bytes(const ColumnView&, const Block&, const uint8_t* valid, const Field&,
                std::string_view* values);

/// The bits of an IEEE half as a float; exact.
float half_to_float(uint16_t bits);

/// One row of a bytes column (see load_bytes); not for NULL rows.
std::string_view bytes_at(const ColumnView& column, const Field& field, size_t row);

}  // namespace pgsink::encode
