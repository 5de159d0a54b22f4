#pragma once
// numeric: numbers of any source as base-10000 digits, within the column's precision and scale.
//
// The server silently cuts digits after dscale and rounds to the column's scale, so a value that
// would be cut or rounded is a fault here. Server: numeric_recv(), apply_typmod(), make_result().

#include <array>
#include <bit>
#include <string>
#include <string_view>

#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/base/row_part.h"
#include "pgsink/encode/base/scratch.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// NumericLimit is numeric(precision, scale); precision 0 means any.
struct NumericLimit {
  int32_t precision = 0;
  int32_t scale = 0;
  bool rounds = false;  ///< What has more digits after the decimal point is rounded to the scale.
};

/// numeric_limit is that of a type. Server: make_numeric_typmod(), numeric_typmod_scale().
NumericLimit numeric_limit(const Target& target);

/// Digits is a decimal number: digits × 10^-scale. `digits` has no leading zero; empty is zero.
struct Digits {
  bool negative = false;
  std::string_view digits;
  int64_t scale = 0;
  /// The scale to use if the column has none; not below zero.
  int64_t shown_scale = 0;
};

/// DigitBuffer holds the decimal digits of 256 bits (78, written nine at a time), or of a double.
using DigitBuffer = std::array<char, 88>;

/// digits_of writes a decimal or integer into `buffer`; the result refers to it.
Digits digits_of(const Decimal& value, DigitBuffer& buffer);
Digits digits_of(const Integer& value, DigitBuffer& buffer);
/// digits_of writes the shortest decimal that reads back as the same float; the value must be
/// finite.
Digits digits_of(const Float& value, DigitBuffer& buffer);

/// put_numeric appends the binary form, or returns why the value does not fit.
bool put_numeric(const Digits& value, const NumericLimit& limit, Scratch& out, Fault& fault);

/// SmallNumeric is put_numeric() for one scale and values of up to 64 bits, several times faster.
class SmallNumeric {
 public:
  /// The maximum that put() writes: header and eight groups, of which the last three are not
  /// counted.
  static constexpr size_t kBytesMax = 24;

  SmallNumeric(int64_t scale, const NumericLimit& limit);
  /// holds says whether a magnitude fits; put_numeric() decides on the others.
  bool holds(uint64_t magnitude) const { return magnitude < magnitude_end_; }
  /// put writes kBytesMax bytes and returns how many of them count. REQUIRES: holds(magnitude)
  size_t put(uint64_t magnitude, bool negative, std::byte* to) const;

  /// put_slots fills slots with the fields of `count` decimals of `width` bytes (4, 8 or 16), one
  /// after the other, rounded up to a multiple of eight. misfits[i / 8] gets bit i % 8 if a value
  /// does not fit; its slot is undefined then. The sizes of the slots are added to row_bytes.
  /// REQUIRES: vector_code_supported()
  void put_slots(const std::byte* values, size_t width, size_t count, FieldSlot* slots,
                 size_t* row_bytes, uint8_t* misfits) const;
  static bool vector_code_supported();

 private:
  uint64_t magnitude_end_ = 0;
  uint64_t factor_ = 1;  ///< Aligns the point to groups of four digits.
  uint64_t head_ = 0;    ///< Weight of the fifth group, sign 0 and scale, as the header has them.
};

enum class NumericSpecial : uint16_t { kNan = 0xc000, kInfinity = 0xd000, kMinusInfinity = 0xf000 };
bool put_numeric_special(NumericSpecial value, const NumericLimit& limit, Scratch& out,
                         Fault& fault);

/// rounded rounds to `scale` digits after the decimal point, halves away from zero. The result
/// refers to `buffer`, or to what `value` does.
Digits rounded(const Digits& value, int64_t scale, std::string& buffer);

/// text_of writes a number as PostgreSQL's numeric prints it: every digit of its scale, no
/// exponent.
std::string text_of(const Digits& value);

/// integer_of converts a decimal without fraction to an integer; false if it has one or is larger
/// than 64 bits.
bool integer_of(const Digits& value, Integer& integer);

inline size_t SmallNumeric::put(uint64_t magnitude, bool negative, std::byte* to) const {
  constexpr uint64_t kGroup = 10'000;
  constexpr uint64_t kTwoGroups = kGroup * kGroup;
  constexpr unsigned kGroupBits = 16;
  constexpr uint64_t kNegative = uint64_t{0x4000} << kGroupBits;
  magnitude *= factor_;
  const uint64_t high = magnitude / kTwoGroups;
  const uint64_t low = magnitude % kTwoGroups;
  const uint64_t top = high / kTwoGroups;
  const uint64_t middle = high % kTwoGroups;
  // Five groups, the most significant one in the highest 16 of 80 bits; `lower` has the last of
  // them.
  const uint64_t last = low % kGroup;
  const uint64_t upper =
      top << 48 | (middle / kGroup) << 32 | (middle % kGroup) << 16 | low / kGroup;
  const uint64_t lower = last << 48;
  if (magnitude == 0) {
    pgproto::store_be(to, head_ & 0xffff);
    return sizeof(uint64_t);
  }
  const auto leading =
      static_cast<unsigned>(upper != 0 ? std::countl_zero(upper) : 64 + std::countl_zero(lower)) /
      kGroupBits;
  const auto trailing =
      static_cast<unsigned>(lower != 0 ? std::countr_zero(lower) : 64 + std::countr_zero(upper)) /
      kGroupBits;
  PGPROTO_ASSERT(leading + trailing < 8);  // a digit is not zero
  const unsigned count = 8 - leading - trailing;
  const UInt128 groups = (static_cast<UInt128>(upper) << 64 | lower) << (kGroupBits * leading);
  const uint64_t weight = ((head_ >> 32) - leading) & 0xffff;
  pgproto::store_be(to, static_cast<uint64_t>(count) << 48 | weight << 32 |
                            (negative ? kNegative : 0) | (head_ & 0xffff));
  pgproto::store_be(to + 8, static_cast<uint64_t>(groups >> 64));
  pgproto::store_be(to + 16, static_cast<uint64_t>(groups));
  return sizeof(uint64_t) + 2 * size_t{count};
}

CodecPointer decimal_to_numeric(const Field& source, const Target& target);
CodecPointer integer_to_numeric(const Field& source, const Target& target);
CodecPointer float_to_numeric(const Field& source, const Target& target);

}  // namespace pgsink::encode
