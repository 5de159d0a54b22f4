#include "pgsink/encode/values/shortest_float.h"

#include <algorithm>
#include <bit>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <limits>
#include <system_error>

namespace pgsink::encode {
namespace {

using UInt128 = unsigned __int128;

/// factor × 2^power, the factor odd or zero.
struct OddForm {
  UInt128 factor = 0;
  int power = 0;
  bool operator==(const OddForm&) const = default;
};

OddForm odd_form(UInt128 factor, int power) {
  while (factor != 0 && (factor & 1) == 0) {
    factor >>= 1;
    ++power;
  }
  return {factor, power};
}

UInt128 power_of_five(int exponent) {
  UInt128 power = 1;
  for (; exponent > 0; --exponent) power *= 5;
  return power;
}

/// digits × 10^exponent.
struct Decimal10 {
  uint64_t digits = 0;
  int exponent = 0;
};

Decimal10 parse(const char* text, const char* end) {
  Decimal10 value;
  bool fraction = false;
  for (; *text != 'e'; ++text) {
    if (*text == '.') {
      fraction = true;
      continue;
    }
    value.digits = value.digits * 10 + static_cast<uint64_t>(*text - '0');
    if (fraction) --value.exponent;
  }
  ++text;
  if (*text == '+') ++text;
  int exponent = 0;
  std::from_chars(text, end, exponent);
  value.exponent += exponent;
  while (value.digits != 0 && value.digits % 10 == 0) {
    value.digits /= 10;
    ++value.exponent;
  }
  return value;
}

/// Whether a decimal is exactly quarters × 2^power.
bool is_exactly(const Decimal10& decimal, uint64_t quarters, int power) {
  // Beyond it, the fives alone exceed either side.
  constexpr int kFivesMax = 24;
  if (std::abs(decimal.exponent) > kFivesMax) return false;
  const UInt128 fives = power_of_five(std::abs(decimal.exponent));
  if (decimal.exponent >= 0) {
    return odd_form(decimal.digits * fives, decimal.exponent) == odd_form(quarters, power);
  }
  return odd_form(decimal.digits, decimal.exponent) == odd_form(quarters * fives, power);
}

/// Whether the text is exactly between this float and a neighbour. A reader that rounds to even
/// would read it as this float; the server never prints it.
template <class T>
bool is_halfway(T magnitude, const char* text, const char* end) {
  constexpr int kMantissaBits = std::numeric_limits<T>::digits;
  constexpr int kExponentMin = std::numeric_limits<T>::min_exponent - kMantissaBits;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  exponent = std::max(exponent - kMantissaBits, kExponentMin);
  const auto mantissa = static_cast<uint64_t>(std::ldexp(double{magnitude}, -exponent));
  // Below a power of two the distance between floats is half as large.
  const bool closer_below = std::has_single_bit(mantissa) && exponent > kExponentMin;
  const Decimal10 decimal = parse(text, end);
  const uint64_t quarters = mantissa * 4;
  return is_exactly(decimal, quarters + 2, exponent - 2) ||
         is_exactly(decimal, quarters - (closer_below ? 1 : 2), exponent - 2);
}

template <class T>
bool reads_back(T magnitude, const char* text, const char* end) {
  T value = 0;
  return std::from_chars(text, end, value).ec == std::errc{} && value == magnitude;
}

template <class T>
const char* put(T magnitude, ShortestBuffer& to) {
  char* const begin = to.data();
  char* const limit = begin + to.size();
  const char* end = std::to_chars(begin, limit, magnitude, std::chars_format::scientific).ptr;
  if (magnitude == 0 || !is_halfway(magnitude, begin, end)) return end;
  // The fewest digits that are closer to this float than to any other.
  constexpr int kDigitsMax = std::numeric_limits<T>::max_digits10;
  for (int digits = 1; digits <= kDigitsMax; ++digits) {
    end = std::to_chars(begin, limit, magnitude, std::chars_format::scientific, digits - 1).ptr;
    if (reads_back(magnitude, begin, end) && !is_halfway(magnitude, begin, end)) break;
  }
  return end;
}

}  // namespace

const char* put_shortest(double magnitude, ShortestBuffer& to) { return put(magnitude, to); }
const char* put_shortest(float magnitude, ShortestBuffer& to) { return put(magnitude, to); }

}  // namespace pgsink::encode
