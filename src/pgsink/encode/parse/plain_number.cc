#include "pgsink/encode/parse/plain_number.h"

#include <algorithm>

namespace pgsink::encode {
namespace {

/// Used for exponents that exceed every type.
constexpr int64_t kExponentMax = 1'000'000'000;

std::string_view take_digits(std::string_view& text) {
  const size_t count = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view digits = text.substr(0, count);
  text.remove_prefix(count);
  return digits;
}

bool only_zeros(std::string_view digits) {
  return digits.find_first_not_of('0') == std::string_view::npos;
}

bool take_exponent(std::string_view& text, NumberText& number) {
  text.remove_prefix(1);
  bool negative = false;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    negative = text[0] == '-';
    text.remove_prefix(1);
  }
  const std::string_view digits = take_digits(text);
  if (digits.empty()) return false;
  int64_t exponent = 0;
  for (const char c : digits) exponent = std::min(exponent * 10 + (c - '0'), kExponentMax);
  number.has_exponent = true;
  number.exponent = negative ? -exponent : exponent;
  return true;
}

}  // namespace

bool NumberText::is_zero() const { return only_zeros(whole) && only_zeros(fraction); }

std::optional<NumberText> read_number(std::string_view text) {
  NumberText number;
  if (!text.empty() && (text[0] == '+' || text[0] == '-')) {
    number.negative = text[0] == '-';
    number.plus = text[0] == '+';
    text.remove_prefix(1);
  }
  number.whole = take_digits(text);
  if (!text.empty() && text[0] == '.') {
    number.has_point = true;
    text.remove_prefix(1);
    number.fraction = take_digits(text);
  }
  if (number.whole.empty() && number.fraction.empty()) return std::nullopt;
  if (!text.empty() && (text[0] == 'e' || text[0] == 'E') && !take_exponent(text, number)) {
    return std::nullopt;
  }
  if (!text.empty()) return std::nullopt;
  return number;
}

std::optional<std::string> plain_number(const NumberText& number, size_t digits_max) {
  if (number.is_zero()) return "0";
  std::string digits = std::string(number.whole) + std::string(number.fraction);
  // Number of digits before the decimal point.
  int64_t whole = static_cast<int64_t>(number.whole.size()) + number.exponent;
  const size_t leading = digits.find_first_not_of('0');
  digits.erase(0, leading);
  whole -= static_cast<int64_t>(leading);
  digits.erase(digits.find_last_not_of('0') + 1);
  const auto count = static_cast<int64_t>(digits.size());
  const int64_t written = std::max(whole, int64_t{0}) + std::max(count - whole, int64_t{0});
  if (written > static_cast<int64_t>(digits_max)) return std::nullopt;
  std::string text = number.negative ? "-" : "";
  if (whole <= 0) {
    text += "0." + std::string(static_cast<size_t>(-whole), '0') + digits;
  } else if (whole >= count) {
    text += digits + std::string(static_cast<size_t>(whole - count), '0');
  } else {
    text.append(digits, 0, static_cast<size_t>(whole)).append(1, '.');
    text.append(digits, static_cast<size_t>(whole));
  }
  return text;
}

bool is_json_number(std::string_view text) {
  const auto number = read_number(text);
  if (!number || number->plus || number->whole.empty()) return false;
  if (number->whole.size() > 1 && number->whole[0] == '0') return false;
  return !number->has_point || !number->fraction.empty();
}

}  // namespace pgsink::encode
