#include "pgsink/encode/parse/interval_fields.h"

#include <charconv>
#include <vector>

#include "pgsink/encode/parse/datetime_tokens.h"
#include "pgsink/encode/parse/moment.h"

namespace pgsink::encode {
namespace {

constexpr Unit kMonthUnit{"month", Part::kMonths, 1};
constexpr Unit kDayUnit{"day", Part::kDays, 1};
constexpr Unit kSecondUnit{"second", Part::kMicros, kMicrosPerSecond};

/// LongIntervalReader reads tokens from the last to the first, for a unit stands after its number.
/// A number without a unit is of days if a time follows it, else of seconds.
class LongIntervalReader {
 public:
  LongIntervalReader(IntervalSum& sum, const ValueRules& rules) : sum_(sum), rules_(rules) {}

  LongInterval read(const std::vector<DatetimeToken>& tokens) {
    if (!read_all(tokens)) return LongInterval::kNone;
    return exact_ || rules_.rounds ? LongInterval::kValue : LongInterval::kRounds;
  }

 private:
  bool read_all(const std::vector<DatetimeToken>& tokens) {
    bool ago = false;
    for (size_t i = tokens.size(); i-- > 0;) {
      const DatetimeToken& token = tokens[i];
      if (token.kind == TokenKind::kWord) {
        if (unit_named_) return false;
        if (token.text == "ago" && i + 1 == tokens.size()) {
          ago = true;
          unit_required_ = true;
        } else if (!take_unit(token.text)) {
          return false;
        }
      } else if (!take_amount(token)) {
        return false;
      }
    }
    return seen_ != 0 && !unit_named_ && (!ago || sum_.negate());
  }

  bool take_unit(std::string_view word) {
    unit_ = find_unit(word);
    unit_named_ = unit_ != nullptr;
    return unit_named_;
  }

  bool take_amount(const DatetimeToken& token) {
    std::string_view text = token.text;
    bool negative = false;
    if (token.kind == TokenKind::kSigned) {
      negative = text[0] == '-';
      text.remove_prefix(1);
    }
    unit_named_ = false;
    if (text.find(':') != std::string_view::npos) return take_time(text, negative);
    return take_number(text, negative);
  }

  /// Whole or with a fraction; or years-months.
  bool take_number(std::string_view text, bool negative) {
    TextReader reader(text);
    constexpr size_t kDigitsMax = 18;
    int64_t whole = 0;
    int64_t months = 0;
    double fraction = 0;
    if (reader.peek() != '.' && !reader.take_number(1, kDigitsMax, whole)) return false;
    if (unit_ == nullptr && unit_required_) return false;
    const Unit* unit = unit_ != nullptr ? unit_ : &kSecondUnit;
    if (reader.take('-')) {
      if (!reader.take_number(1, 2, months) || months > 11) return false;
      unit = &kMonthUnit;
      if (__builtin_mul_overflow(whole, int64_t{12}, &whole)) return false;
      whole += months;
    } else if (reader.peek() == '.') {
      const std::string digits = "0" + std::string(reader.rest());
      reader.skip(1);
      reader.take_digits();
      std::from_chars(digits.data(), digits.data() + digits.size(), fraction);
    }
    if (!reader.done() || !first_of(bits_of(*unit, fraction != 0))) return false;
    // Since 15 a fraction of years is rounded to months; before, it was cut.
    if (fraction != 0 && unit->part != Part::kMicros && !rules_.since(15)) return false;
    unit_ = unit->part == Part::kMicros && unit->factor == kHour ? &kDayUnit : unit;
    return sum_.add(unit->part, unit->factor, negative ? -whole : whole,
                    negative ? -fraction : fraction, exact_);
  }

  /// H:M, H:M:S, H:M:S.fraction, M:S.fraction.
  bool take_time(std::string_view text, bool negative) {
    TextReader reader(text);
    constexpr size_t kDigitsMax = 12;
    int64_t first = 0, second = 0, third = 0, fraction = 0;
    bool rounds = false;
    if (!reader.take_number(1, kDigitsMax, first) || !reader.take(':') ||
        !reader.take_number(0, kDigitsMax, second)) {
      return false;
    }
    const bool has_third = reader.take(':');
    if (has_third && !reader.take_number(0, kDigitsMax, third)) return false;
    const bool has_fraction = reader.take('.');
    if (has_fraction) fraction = second_fraction(reader.take_digits(), rounds);
    if (!reader.done()) return false;
    exact_ = exact_ && !rounds;
    if (has_fraction && !has_third) {
      third = second;
      second = first;
      first = 0;
    }
    if (second > 59 || third > 60 || !first_of(time_bits())) return false;
    // The server forgets the time that fractions after this one became.
    exact_ = exact_ && sum_.micros == 0;
    unit_ = &kDayUnit;
    int64_t micros = 0;
    if (__builtin_mul_overflow(first, kHour, &micros) ||
        __builtin_add_overflow(micros, second * kMinute + third * kMicrosPerSecond + fraction,
                               &micros)) {
      return false;
    }
    sum_.micros = negative ? -micros : micros;
    return true;
  }

  static uint64_t bits_of(const Unit& unit, bool has_fraction) {
    const bool seconds = unit.part == Part::kMicros && unit.factor == kMicrosPerSecond;
    return seconds && has_fraction ? second_bits() : unit_bit(unit.part, unit.factor);
  }
  static uint64_t second_bits() {
    return unit_bit(Part::kMicros, kMicrosPerSecond) | unit_bit(Part::kMicros, 1000) |
           unit_bit(Part::kMicros, 1);
  }
  static uint64_t time_bits() {
    return unit_bit(Part::kMicros, kHour) | unit_bit(Part::kMicros, kMinute) | second_bits();
  }
  /// A unit may come once.
  bool first_of(uint64_t units) {
    const bool first = (seen_ & units) == 0;
    seen_ |= units;
    return first;
  }

  IntervalSum& sum_;
  const ValueRules& rules_;
  const Unit* unit_ = nullptr;  ///< Of the number before.
  bool unit_named_ = false;     ///< A unit whose number has not come.
  bool unit_required_ = false;  ///< Of a number before "ago".
  uint64_t seen_ = 0;
  bool exact_ = true;
};

}  // namespace

LongInterval read_long_interval(std::string_view text, const Target& target, IntervalSum& sum) {
  sum = {};
  std::vector<DatetimeToken> tokens;
  if (!datetime_tokens(text, tokens)) return LongInterval::kNone;
  return LongIntervalReader(sum, target.rules).read(tokens);
}

}  // namespace pgsink::encode
