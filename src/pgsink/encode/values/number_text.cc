#include "pgsink/encode/values/number_text.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>

namespace pgsink::encode {
namespace {

/// digits[0].digits[1…] × 10^exponent, as PostgreSQL lays it out.
/// Server: to_chars() in src/common/d2s.c and f2s.c.
void append_digits(std::string_view digits, int64_t exponent, int64_t fixed_end, std::string& to) {
  if (exponent < -4 || exponent >= fixed_end) {
    to += digits[0];
    if (digits.size() > 1) {
      to += '.';
      to += digits.substr(1);
    }
    to += exponent < 0 ? "e-" : "e+";
    const int64_t magnitude = exponent < 0 ? -exponent : exponent;
    if (magnitude < 10) to += '0';
    to += std::to_string(magnitude);
    return;
  }
  if (exponent < 0) {
    to += "0.";
    to.append(static_cast<size_t>(-exponent - 1), '0');
    to += digits;
    return;
  }
  const auto integer_digits = static_cast<size_t>(exponent + 1);
  if (digits.size() <= integer_digits) {
    to += digits;
    to.append(integer_digits - digits.size(), '0');
    return;
  }
  to += digits.substr(0, integer_digits);
  to += '.';
  to += digits.substr(integer_digits);
}

/// Whether two decimal numbers are the same.
bool same_number(const Digits& a, const Digits& b) {
  const auto trimmed = [](const Digits& value) {
    const size_t end = value.digits.find_last_not_of('0');
    return value.digits.substr(0, end == std::string_view::npos ? 0 : end + 1);
  };
  const auto weight = [](const Digits& value) {
    return static_cast<int64_t>(value.digits.size()) - value.scale;
  };
  if (trimmed(a) != trimmed(b)) return false;
  if (trimmed(a).empty()) return true;
  return a.negative == b.negative && weight(a) == weight(b);
}

/// The exact value of a finite float with at most 64 significant bits before the point, if it is
/// whole.
bool is_exactly(double nearest, const Digits& value) {
  Integer integer;
  if (!integer_of(value, integer)) return false;
  constexpr double kEnd = 0x1p64;
  const double magnitude = std::fabs(nearest);
  return magnitude < kEnd && static_cast<uint64_t>(magnitude) == integer.magnitude &&
         magnitude == std::trunc(magnitude);
}

}  // namespace

void append_float(const Float& value, std::string& to) {
  if (std::isnan(value.value)) {
    to += "NaN";
    return;
  }
  if (std::signbit(value.value)) to += '-';
  if (std::isinf(value.value)) {
    to += "Infinity";
    return;
  }
  if (value.value == 0) {
    to += '0';
    return;
  }
  constexpr int64_t kFixedEndDouble = 15;
  constexpr int64_t kFixedEndSingle = 6;
  DigitBuffer buffer;
  const Digits digits = digits_of(value, buffer);
  const int64_t exponent = static_cast<int64_t>(digits.digits.size()) - digits.scale - 1;
  append_digits(digits.digits, exponent, value.single ? kFixedEndSingle : kFixedEndDouble, to);
}

std::string float_text(const Float& value) {
  std::string text;
  append_float(value, text);
  return text;
}

void append_integer(const Integer& value, std::string& to) {
  std::array<char, 24> text;
  if (value.negative) to += '-';
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value.magnitude);
  to.append(text.data(), result.ptr);
}

bool round_to_float(const Digits& value, bool single, Float& nearest) {
  if (value.digits.empty()) {
    nearest = {0, single};
    return true;
  }
  std::string text(value.digits);
  text += 'e';
  text += std::to_string(-value.scale);
  const char* const end = text.data() + text.size();
  if (single) {
    float parsed = 0;
    if (std::from_chars(text.data(), end, parsed).ec != std::errc{}) return false;
    nearest = {parsed, true};
  } else {
    double parsed = 0;
    if (std::from_chars(text.data(), end, parsed).ec != std::errc{}) return false;
    nearest = {parsed, false};
  }
  if (value.negative) nearest.value = -nearest.value;
  return true;
}

bool nearest_float(const Digits& value, bool single, Float& nearest) {
  if (!round_to_float(value, single, nearest)) return false;
  if (value.digits.empty()) return true;
  DigitBuffer buffer;
  return same_number(value, digits_of(nearest, buffer)) || is_exactly(nearest.value, value);
}

}  // namespace pgsink::encode
