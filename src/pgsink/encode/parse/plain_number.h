#pragma once
// Decimal numbers as they are written, for types that must not round them.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace pgsink::encode {

/// NumberText is a decimal number in its parts, which are views of the text.
struct NumberText {
  bool negative = false;
  bool plus = false;          ///< Written with a '+'.
  std::string_view whole;     ///< Digits before the decimal point.
  std::string_view fraction;  ///< Digits after it.
  bool has_point = false;
  bool has_exponent = false;
  int64_t exponent = 0;  ///< Power of ten; limited to far beyond any type's range.

  bool is_zero() const;
};

/// read_number reads [+-]digits[.digits][e[+-]digits], where digits may be missing on one side of
/// the point, and nothing else.
std::optional<NumberText> read_number(std::string_view text);

/// plain_number writes the same number without exponent and without superfluous zeros: "-1.50e1" is
/// "-15". "-0" is "0". Nullopt if that takes more than `digits_max` digits.
std::optional<std::string> plain_number(const NumberText& number, size_t digits_max);

/// is_json_number says whether the text is a number as RFC 8259 writes it.
bool is_json_number(std::string_view text);

}  // namespace pgsink::encode
