// Text → interval: the styles `postgres` and `postgres_verbose` ("1 year 2 mons -3 days
// 04:05:06.7") and ISO 8601 ("P1Y2M-3DT4H5M6.7S"); then the long forms (interval_fields.h).

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <string>

#include <pgproto/ascii.h>

#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/parse/interval_fields.h"
#include "pgsink/encode/parse/interval_units.h"
#include "pgsink/encode/parse/moment.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/text_reader.h"
#include "pgsink/encode/values/calendar.h"
#include "pgsink/encode/values/rounding.h"
#include "pgsink/encode/values/temporal.h"

namespace pgsink::encode {
namespace {

constexpr std::string_view kIntervalForm =
    "an interval as \"1 year 2 mons 3 days 04:05:06.7\" or P1Y2M3DT4H5M6.7S";

/// A number with its fraction in millionths.
struct Quantity {
  bool negative = false;
  int64_t whole = 0;
  int64_t millionths = 0;
  /// What is finer than that makes it inexact: the whole fraction then, without sign.
  double fraction = 0;
  bool has_point = false;
  double as_double = 0;  ///< The fraction as ISO 8601's numbers are read.
};

/// IntervalParser adds up fields; any failure makes ok() false permanently.
class IntervalParser {
 public:
  IntervalParser(std::string_view text, const ValueRules& rules)
      : reader_(text), rounds_(rules.rounds), spreads_(rules.since(15)) {}

  /// `text` is the whole, which for ISO 8601 must have no white space around it.
  bool parse(std::string_view text) {
    if (text.size() == reader_.rest().size() && reader_.take('P')) {
      parse_iso();
    } else {
      parse_postgres();
    }
    return ok_ && fields_ != 0;
  }
  bool overflow() const { return overflow_; }
  /// It fails because the value would be rounded.
  bool would_round() const { return would_round_; }

  IntervalSum sum;

 private:
  void parse_postgres() {
    reader_.take('@');
    reader_.skip_spaces();
    while (ok_ && !reader_.done()) {
      if (fields_ != 0 && reader_.take_word("ago")) {
        negate();
        reader_.skip_spaces();
        ok_ = reader_.done();
        return;
      }
      Quantity quantity;
      if (!read_quantity(quantity)) return fail();
      if (reader_.peek() == ':') {
        read_clock(quantity);
      } else {
        reader_.skip_spaces();
        const Unit* unit = find_unit(reader_.take_letters());
        if (unit == nullptr || !first_of(*unit, quantity)) return fail();
        add(quantity, unit->part, unit->factor);
      }
      if (!reader_.done() && !TextReader::is_space(reader_.peek())) return fail();
      reader_.skip_spaces();
    }
  }

  // Server: DecodeISO8601Interval(). Beside the format with designators there are the alternative
  // ones: basic (P00010203T040506) and extended (P0001-02-03T04:05:06).
  void parse_iso() {
    iso_ = true;
    bool time = false;
    bool first = true;  // Of the date's or the time's fields.
    while (ok_ && !reader_.done()) {
      if (!time && reader_.take('T')) {
        if (reader_.done() && fields_ == 0) ++fields_;  // "PT" is zero.
        time = true;
        first = true;
        continue;
      }
      const size_t digits = digit_count();
      Quantity quantity;
      if (!read_iso_quantity(quantity)) return fail();
      const char unit = reader_.peek();
      const bool ends = reader_.done() || (!time && unit == 'T');
      if (first && (ends || unit == (time ? ':' : '-'))) {
        time ? parse_extended_time(quantity, digits) : parse_extended_date(quantity, digits);
        continue;
      }
      reader_.skip(reader_.done() ? 0 : 1);
      add_designated(quantity, unit, time);
      first = false;
    }
  }

  void add_designated(const Quantity& quantity, char unit, bool time) {
    struct Designator {
      char letter;
      bool time;
      Part part;
      int64_t factor;
    };
    static constexpr std::array kDesignators{
        Designator{'Y', false, Part::kMonths, 12},
        Designator{'M', false, Part::kMonths, 1},
        Designator{'W', false, Part::kDays, 7},
        Designator{'D', false, Part::kDays, 1},
        Designator{'H', true, Part::kMicros, kHour},
        Designator{'M', true, Part::kMicros, kMinute},
        Designator{'S', true, Part::kMicros, kMicrosPerSecond}};
    const auto* const found = std::ranges::find_if(kDesignators, [&](const Designator& known) {
      return known.letter == unit && known.time == time;
    });
    if (found == kDesignators.end()) return fail();
    add(quantity, found->part, found->factor);
  }

  /// The year or, with eight digits, the whole date has been read.
  void parse_extended_date(const Quantity& years, size_t digits) {
    constexpr size_t kBasicDigits = 8;
    if (digits == kBasicDigits && reader_.peek() != '-') {
      if (years.has_point) return fail();
      const auto part = [&](int64_t whole) { return Quantity{years.negative, whole}; };
      add(part(years.whole / 10'000), Part::kMonths, 12);
      add(part(years.whole / 100 % 100), Part::kMonths, 1);
      return add(part(years.whole % 100), Part::kDays, 1);
    }
    add(years, Part::kMonths, 12);
    Quantity quantity;
    if (!reader_.take('-')) return;
    if (!read_iso_quantity(quantity)) return fail();
    add(quantity, Part::kMonths, 1);
    if (!reader_.take('-')) return end_of_extended('T');
    if (!read_iso_quantity(quantity)) return fail();
    add(quantity, Part::kDays, 1);
    end_of_extended('T');
  }

  /// The hours or, with six digits, the whole time has been read.
  void parse_extended_time(const Quantity& hours, size_t digits) {
    constexpr size_t kBasicDigits = 6;
    if (digits == kBasicDigits && reader_.peek() != ':') {
      if (hours.has_point) return fail();  // The server forgets it.
      const auto part = [&](int64_t whole) { return Quantity{hours.negative, whole}; };
      add(part(hours.whole / 10'000), Part::kMicros, kHour);
      add(part(hours.whole / 100 % 100), Part::kMicros, kMinute);
      return add(part(hours.whole % 100), Part::kMicros, kMicrosPerSecond);
    }
    add(hours, Part::kMicros, kHour);
    Quantity quantity;
    if (!reader_.take(':')) return;
    if (!read_iso_quantity(quantity)) return fail();
    add(quantity, Part::kMicros, kMinute);
    if (!reader_.take(':')) return end_of_extended('\0');
    if (!read_iso_quantity(quantity)) return fail();
    add(quantity, Part::kMicros, kMicrosPerSecond);
    end_of_extended('\0');
  }
  void end_of_extended(char next) {
    if (!reader_.done() && reader_.peek() != next) fail();
  }

  /// The digits of the whole part of the number at the front. Server: ISO8601IntegerWidth().
  size_t digit_count() const {
    TextReader ahead = reader_;
    ahead.take('-');
    return ahead.take_digits().size();
  }

  static uint64_t seconds_units() {
    return unit_bit(Part::kMicros, kMicrosPerSecond) | unit_bit(Part::kMicros, 1000) |
           unit_bit(Part::kMicros, 1);
  }
  static uint64_t clock_units() {
    return unit_bit(Part::kMicros, kHour) | unit_bit(Part::kMicros, kMinute) | seconds_units();
  }
  /// The server takes a unit only once. A fraction of seconds includes the smaller units.
  bool first_of(const Unit& unit, const Quantity& quantity) {
    const bool fraction =
        (quantity.millionths != 0 || quantity.fraction != 0) && unit.factor == kMicrosPerSecond;
    return first_of_all(fraction ? seconds_units() : unit_bit(unit.part, unit.factor));
  }
  bool first_of_all(uint64_t units) {
    const bool first = (units_ & units) == 0;
    units_ |= units;
    return first;
  }

  /// The server reads such a number as a double: what that does not hold would be rounded. Server:
  /// ParseISO8601Number().
  bool read_iso_quantity(Quantity& quantity) {
    std::string_view number = reader_.rest();
    if (reader_.peek() == '+' || !read_quantity(quantity)) return false;
    number.remove_suffix(reader_.rest().size());
    if (quantity.negative) number.remove_prefix(1);
    double value = 0;
    std::from_chars(number.data(), number.data() + number.size(), value);
    const auto whole = static_cast<int64_t>(std::floor(value));
    if (whole != quantity.whole && !may_round()) return false;
    quantity.whole = whole;
    quantity.as_double = value - static_cast<double>(whole);
    return true;
  }

  bool read_quantity(Quantity& quantity) {
    quantity = {.negative = reader_.peek() == '-'};
    if (quantity.negative || reader_.peek() == '+') reader_.skip(1);
    constexpr size_t kDigitsMax = 18;
    if (!reader_.take_number(1, kDigitsMax, quantity.whole)) return false;
    quantity.has_point = reader_.take('.');
    if (!quantity.has_point) return true;
    return TextReader::is_digit(reader_.peek()) && read_fraction(quantity);
  }

  /// Digits after a point; what is finer than a microsecond is rounded, or a fault.
  bool read_fraction(Quantity& quantity) {
    constexpr size_t kPlaces = 6;
    const std::string_view digits = reader_.take_digits();
    for (size_t i = 0; i < kPlaces; ++i) {
      quantity.millionths = quantity.millionths * 10 + (i < digits.size() ? digits[i] - '0' : 0);
    }
    if (digits.size() <= kPlaces ||
        digits.find_first_not_of('0', kPlaces) == std::string_view::npos) {
      return true;
    }
    const std::string text = "0." + std::string(digits);
    std::from_chars(text.data(), text.data() + text.size(), quantity.fraction);
    return may_round();
  }

  /// [-]HH:MM[:SS[.fraction]], the hours read already.
  void read_clock(const Quantity& hours) {
    Quantity minutes;
    Quantity seconds;
    reader_.take(':');
    if (hours.has_point || !first_of_all(clock_units()) ||
        !reader_.take_number(2, 2, minutes.whole) || minutes.whole > 59) {
      return fail();
    }
    if (reader_.take(':')) {
      if (!reader_.take_number(2, 2, seconds.whole) || seconds.whole > 60) return fail();
      if (reader_.take('.') && !read_fraction(seconds)) return fail();
      if (seconds.fraction != 0) {
        const int64_t rounded = round_fraction(seconds.fraction);
        seconds = {false, seconds.whole + rounded / kMicrosPerSecond, rounded % kMicrosPerSecond};
      }
    }
    minutes.negative = seconds.negative = hours.negative;
    add(hours, Part::kMicros, kHour);
    add(minutes, Part::kMicros, kMinute);
    add(seconds, Part::kMicros, kMicrosPerSecond);
  }

  void add(const Quantity& quantity, Part part, int64_t factor) {
    ++fields_;
    int64_t amount = 0;
    int64_t rest = 0;
    if (part != Part::kMicros && quantity.has_point) {
      return iso_ && spreads_ ? add_spread(quantity, part, factor)
                              : fail();  // Else the order matters.
    }
    if (__builtin_mul_overflow(quantity.whole, factor, &amount)) return overflown();
    if (quantity.fraction != 0) {
      rest = IntervalSum::round_half_down(quantity.fraction * static_cast<double>(factor));
    } else if (quantity.millionths != 0) {
      rest = quantity.millionths * factor;
      if (rest % 1'000'000 != 0) {
        if (!may_round()) return fail();
        rest = IntervalSum::round_half_down(static_cast<double>(quantity.millionths) / 1e6 *
                                            static_cast<double>(factor));
      } else {
        rest /= 1'000'000;
      }
    }
    if (quantity.as_double != 0) {
      const int64_t read =
          IntervalSum::round_half_down(quantity.as_double * static_cast<double>(factor));
      if (read != rest && !may_round()) return fail();
      rest = read;
    }
    if (__builtin_add_overflow(amount, rest, &amount)) return overflown();
    if (quantity.negative) amount = -amount;
    int64_t& of_part = sum.of(part);
    if (__builtin_add_overflow(of_part, amount, &of_part)) return overflown();
  }

  /// A number of days or months with a fraction, which becomes smaller units.
  void add_spread(const Quantity& quantity, Part part, int64_t factor) {
    const double fraction = quantity.as_double;
    const int64_t whole = quantity.negative ? -quantity.whole : quantity.whole;
    bool exact = true;
    if (!sum.add(part, factor, whole, quantity.negative ? -fraction : fraction, exact)) {
      return overflown();
    }
    if (!exact && !may_round()) fail();
  }

  void negate() {
    if (!sum.negate()) overflown();
  }

  bool may_round() {
    would_round_ = !rounds_;
    return rounds_;
  }
  void fail() { ok_ = false; }
  void overflown() {
    overflow_ = true;
    ok_ = false;
  }

  TextReader reader_;
  const bool rounds_;
  const bool spreads_;  ///< The server's version spreads fractions as add_spread() does.
  int fields_ = 0;
  uint64_t units_ = 0;  ///< Seen so far.
  bool iso_ = false;
  bool ok_ = true;
  bool overflow_ = false;
  bool would_round_ = false;
};

/// Every part at its end. Server: INTERVAL_NOEND() and INTERVAL_NOBEGIN() of 17.
void put_infinity(bool positive, Scratch& out) {
  using Day = std::numeric_limits<int32_t>;
  out.put(positive ? std::numeric_limits<int64_t>::max() : std::numeric_limits<int64_t>::min());
  out.put(positive ? Day::max() : Day::min());
  out.put(positive ? Day::max() : Day::min());
}

bool in_int32(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}

}  // namespace

bool parse_interval(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  const int infinity = target.rules.since(17) ? read_infinity(word, target.rules) : 0;
  if (infinity != 0) {
    put_infinity(infinity > 0, out);
    return true;
  }
  if (!target.rules.since(15) && has_bare_point(word, false)) {
    fault = parse_fault(target, text, kIntervalForm);
    fault.sqlstate = sqlstate::kDatetimeFormat;
    return false;
  }
  IntervalParser parser(word, target.rules);
  bool parsed = parser.parse(text);
  IntervalSum sum = parser.sum;
  if (!parsed && !parser.overflow()) {
    const LongInterval read = read_long_interval(word, target, sum);
    parsed = read == LongInterval::kValue;
    if (!parsed) {
      fault = parse_fault(target, text, kIntervalForm);
      fault.sqlstate = sqlstate::kDatetimeFormat;
      if (parser.would_round() || read == LongInterval::kRounds) {
        fault.message = shortened(text) + " would be rounded, or lose a part";
      }
      return false;
    }
  }
  auto months = static_cast<int32_t>(sum.months);
  auto days = static_cast<int32_t>(sum.days);
  int64_t micros = sum.micros;
  const bool held =
      parsed && in_int32(sum.months) && in_int32(sum.days) &&
      (!target.rules.rounds || adjust_interval(months, days, micros, target.type_modifier)) &&
      interval_fits(months, days, micros, target.type_modifier);
  if (!held) {
    fault = {sqlstate::kIntervalOverflow,
             shortened(text) +
                 " is outside interval's range, or not what the column's fields and "
                 "precision can hold"};
    return false;
  }
  out.put(micros);
  out.put(days);
  out.put(months);
  return true;
}

}  // namespace pgsink::encode
