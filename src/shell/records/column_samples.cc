#include "shell/records/column_samples.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "pgsink/encode/parse/json_value.h"
#include "pgsink/encode/parse/plain_number.h"

namespace pgsink::shell {
namespace {

using Kind = ExactType::Kind;

/// Decimal digits that a double always preserves.
constexpr size_t kDoubleDigits = 15;
/// Digits of the engine's DECIMAL: in 64 bits, and at most.
constexpr size_t kDecimalDigits = 18;
constexpr size_t kDecimalDigitsMax = 38;

ExactType make_type(Kind kind, std::string name, size_t scale = 0) {
  ExactType type;
  type.kind = kind;
  type.name = std::move(name);
  type.scale = static_cast<int32_t>(scale);
  return type;
}

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Whether the text has the form, in which '9' is a digit and every other character itself.
bool take_form(std::string_view& text, std::string_view form) {
  if (text.size() < form.size()) return false;
  for (size_t i = 0; i < form.size(); ++i) {
    if (form[i] == '9' ? !is_digit(text[i]) : text[i] != form[i]) return false;
  }
  text.remove_prefix(form.size());
  return true;
}

/// Decimals of a second in a time, at most six.
struct Decimals {
  bool there = false;
  bool trailing_zero = false;
};
bool take_decimals(std::string_view& text, Decimals& decimals) {
  if (!text.starts_with('.')) return true;
  constexpr size_t kDigitsMax = 6;
  const size_t count = std::min(text.find_first_not_of("0123456789", 1), text.size()) - 1;
  if (count == 0 || count > kDigitsMax) return false;
  decimals = {true, text[count] == '0'};
  text.remove_prefix(count + 1);
  return true;
}

bool take_zone(std::string_view& text) {
  if (text.starts_with('Z') || text.starts_with('z')) {
    text.remove_prefix(1);
    return true;
  }
  return take_form(text, "+99:99") || take_form(text, "-99:99") || take_form(text, "+9999") ||
         take_form(text, "-9999") || take_form(text, "+99") || take_form(text, "-99");
}

enum class When : uint8_t { kNone, kDate, kTimestamp, kInstant, kIsoTimestamp, kIsoInstant };

When look_at_when(std::string_view text) {
  if (!take_form(text, "9999-99-99")) return When::kNone;
  if (text.empty()) return When::kDate;
  const char separator = text[0];
  text.remove_prefix(1);
  if (separator != ' ' && separator != 'T' && separator != 't') return When::kNone;
  Decimals decimals;
  if (!take_form(text, "99:99:99") || !take_decimals(text, decimals)) return When::kNone;
  const bool printed = separator == ' ' && !decimals.trailing_zero;
  if (text.empty()) return printed ? When::kTimestamp : When::kIsoTimestamp;
  const bool utc = text == "+00";
  if (!take_zone(text) || !text.empty()) return When::kNone;
  return printed && utc ? When::kInstant : When::kIsoInstant;
}

size_t significant_digits(const encode::NumberText& number) {
  std::string digits = std::string(number.whole) + std::string(number.fraction);
  digits.erase(0, std::min(digits.find_first_not_of('0'), digits.size()));
  digits.erase(digits.find_last_not_of('0') + 1);
  return digits.size();
}

/// Whether a double preserves every digit.
bool fits_double(const encode::NumberText& number, std::string_view text) {
  if (significant_digits(number) > kDoubleDigits) return false;
  double value = 0;
  if (number.plus) text.remove_prefix(1);
  const auto read = std::from_chars(text.data(), text.data() + text.size(), value);
  return read.ec == std::errc() && (value != 0 || number.is_zero());
}

/// Digits with at most one point between two of them; no superfluous leading zero.
bool is_plain(const encode::NumberText& number) {
  return !number.plus && !number.has_exponent && !number.whole.empty() &&
         (number.whole.size() == 1 || number.whole[0] != '0') &&
         (!number.has_point || !number.fraction.empty()) && !(number.negative && number.is_zero());
}

}  // namespace

void ColumnSamples::add_text(std::string_view text) {
  ++values_;
  if (text == "true" || text == "false") ++booleans_;
  if (encode::read_number(text)) look_at_number(text);
  look_at_text(text);
}

void ColumnSamples::add_json(const JsonValue& value) {
  json_ = true;
  if (value.kind == JsonKind::kNull) return;
  ++values_;
  std::string content;
  switch (value.kind) {
    case JsonKind::kBoolean:
      ++booleans_;
      break;
    case JsonKind::kNumber:
      look_at_number(value.text);
      break;
    case JsonKind::kString:
      ++strings_;
      if (encode::append_json_content(value.text, content)) look_at_text(content);
      break;
    default:
      ++nested_;
  }
}

void ColumnSamples::look_at_number(std::string_view text) {
  ++numbers_;
  const auto number = *encode::read_number(text);
  const size_t scale = number.fraction.size();
  const bool plain = is_plain(number);
  int64_t integer = 0;
  integers_ = integers_ && plain && !number.has_point;
  fit_int64_ = fit_int64_ &&
               std::from_chars(text.data(), text.data() + text.size(), integer).ec == std::errc();
  decimals_ = decimals_ && plain;
  trailing_zeros_ = trailing_zeros_ || number.fraction.ends_with('0');
  exponents_ = exponents_ || number.has_exponent;
  fit_double_ = fit_double_ && fits_double(number, text);
  whole_max_ = std::max(whole_max_, number.whole.size());
  scale_max_ = std::max(scale_max_, scale);
  scale_min_ = std::min(scale_min_, scale);
}

void ColumnSamples::look_at_text(std::string_view text) {
  const When when = look_at_when(text);
  if (when == When::kDate) ++dates_;
  if (when == When::kTimestamp) ++timestamps_;
  if (when == When::kInstant) ++instants_;
  if (when == When::kTimestamp || when == When::kIsoTimestamp) ++iso_timestamps_;
  if (when == When::kInstant || when == When::kIsoInstant) ++iso_instants_;
}

ExactType ColumnSamples::type(const ColumnUse& use, bool complete) const {
  if (values_ == 0) {
    return complete ? make_type(Kind::kOther, "\"NULL\"") : make_type(Kind::kText, "VARCHAR");
  }
  if (nested_ > 0) return make_type(Kind::kJson, "JSON");
  if (booleans_ == values_) return make_type(Kind::kBoolean, "BOOLEAN");
  if (numbers()) return number_type(use);
  if (dates_ == values_) return make_type(Kind::kDate, "DATE");
  constexpr size_t kMicroseconds = 6;
  if ((use.passed ? timestamps_ : iso_timestamps_) == values_) {
    return make_type(Kind::kTime, "TIMESTAMP", kMicroseconds);
  }
  if ((use.passed ? instants_ : iso_instants_) == values_) {
    return make_type(Kind::kTime, "TIMESTAMPTZ", kMicroseconds);
  }
  return make_type(Kind::kText, "VARCHAR");
}

ExactType ColumnSamples::number_type(const ColumnUse& use) const {
  if (integers_ && fit_int64_) return make_type(Kind::kInteger, "BIGINT");
  if (integers_ && whole_max_ <= kDecimalDigitsMax) return make_type(Kind::kInteger, "HUGEINT");
  const bool one_scale = scale_min_ == scale_max_;
  const size_t digits = whole_max_ + scale_max_;
  const bool decimal = decimals_ && digits <= kDecimalDigitsMax;
  // 1.10 may be a version: it becomes a number only if the query calculates with it, and keeps its
  // spelling if it also goes to a target.
  const bool zeros_fit = !trailing_zeros_ || (use.number && (one_scale || !use.passed));
  if (decimal && zeros_fit && (one_scale || !use.passed)) {
    const size_t width = digits <= kDecimalDigits ? kDecimalDigits : kDecimalDigitsMax;
    return make_type(Kind::kDecimal,
                     "DECIMAL(" + std::to_string(width) + "," + std::to_string(scale_max_) + ")",
                     scale_max_);
  }
  const bool written_otherwise = exponents_ && use.number && !use.passed;
  if (fit_double_ && ((decimal && zeros_fit) || written_otherwise)) {
    return make_type(Kind::kFloat, "DOUBLE");
  }
  return make_type(Kind::kText, "VARCHAR");
}

bool prints_as(const ExactType& type, std::string_view text) {
  const auto number = encode::read_number(text);
  switch (type.kind) {
    case Kind::kInteger:
      return number && is_plain(*number) && !number->has_point;
    case Kind::kDecimal:
      return number && is_plain(*number) &&
             number->fraction.size() == static_cast<size_t>(type.scale);
    case Kind::kFloat:
      return number && is_plain(*number) && !number->fraction.ends_with('0') &&
             fits_double(*number, text);
    case Kind::kBoolean:
      return text == "true" || text == "false";
    case Kind::kDate:
      return look_at_when(text) == When::kDate;
    case Kind::kTime:
      return look_at_when(text) == (type.name == "TIMESTAMP" ? When::kTimestamp : When::kInstant);
    default:
      return true;
  }
}

}  // namespace pgsink::shell
