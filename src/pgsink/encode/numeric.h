#pragma once
// numeric: values of any origin as base-10000 digits, with the column's precision and scale
// respected.
//
// The server cuts digits behind dscale silently and rounds to the column's scale silently, so what
// would be cut or rounded is a fault here.
// Server: numeric_recv(), apply_typmod(), make_result().

#include <string>
#include <string_view>

#include "pgsink/encode/scratch.h"
#include "pgsink/encode/source.h"
#include "pgsink/encode/target.h"

namespace pgsink::encode {

/// NumericLimit is numeric(precision, scale); precision 0 says any.
struct NumericLimit {
  int32_t precision = 0;
  int32_t scale = 0;
};

/// numeric_limit reads a type modifier. Server: make_numeric_typmod(), numeric_typmod_scale().
NumericLimit numeric_limit(int32_t type_modifier);

/// Digits is a decimal number: digits × 10^-scale. `digits` has no leading zero; empty is zero.
struct Digits {
  bool negative = false;
  std::string_view digits;
  int64_t scale = 0;
  /// The scale to show if the column does not say; not below zero.
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

/// put_numeric appends the binary form, or says why the value does not fit.
bool put_numeric(const Digits& value, const NumericLimit& limit, Scratch& out, Fault& fault);

/// put_numeric_small is put_numeric for what fits 64 bits at a scale of 0 … 19, several times
/// faster. Returns false if it cannot (too large, would be cut): then put_numeric decides.
bool put_numeric_small(uint64_t magnitude, bool negative, int32_t scale, const NumericLimit& limit,
                       Scratch& out);

enum class NumericSpecial : uint16_t { kNan = 0xc000, kInfinity = 0xd000, kMinusInfinity = 0xf000 };
bool put_numeric_special(NumericSpecial value, const NumericLimit& limit, Scratch& out,
                         Fault& fault);

/// text_of writes a number as PostgreSQL's numeric prints it: every digit of its scale, no
/// exponent.
std::string text_of(const Digits& value);

/// number_fits_integer turns a decimal without fraction into an integer; false if it has one or is
/// larger than 64 bits.
bool integer_of(const Digits& value, Integer& integer);

CodecPointer decimal_to_numeric(const Field& source, const Target& target);
CodecPointer integer_to_numeric(const Field& source, const Target& target);
CodecPointer float_to_numeric(const Field& source, const Target& target);

}  // namespace pgsink::encode
