// Text → interval: the styles `postgres` and `postgres_verbose` ("1 year 2 mons -3 days
// 04:05:06.7") and ISO 8601 ("P1Y2M-3DT4H5M6.7S").

#include <algorithm>
#include <limits>

#include <pgproto/ascii.h>

#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/text_reader.h"
#include "pgsink/encode/values/calendar.h"
#include "pgsink/encode/values/temporal.h"

namespace pgsink::encode {
namespace {

constexpr std::string_view kIntervalForm =
    "an interval as \"1 year 2 mons 3 days 04:05:06.7\" or P1Y2M3DT4H5M6.7S";

/// One of the three numbers that an interval consists of.
enum class Part : uint8_t { kMonths, kDays, kMicros };

struct Unit {
  std::string_view name;
  Part part;
  int64_t factor;
};

constexpr int64_t kMinute = 60 * kMicrosPerSecond;
constexpr int64_t kHour = 60 * kMinute;

// Server: deltatktbl in datetime.c, without its rarer abbreviations.
constexpr Unit kUnits[] = {
    {"y", Part::kMonths, 12},
    {"yr", Part::kMonths, 12},
    {"yrs", Part::kMonths, 12},
    {"year", Part::kMonths, 12},
    {"years", Part::kMonths, 12},
    {"mon", Part::kMonths, 1},
    {"mons", Part::kMonths, 1},
    {"month", Part::kMonths, 1},
    {"months", Part::kMonths, 1},
    {"decade", Part::kMonths, 120},
    {"decades", Part::kMonths, 120},
    {"century", Part::kMonths, 1200},
    {"centuries", Part::kMonths, 1200},
    {"w", Part::kDays, 7},
    {"week", Part::kDays, 7},
    {"weeks", Part::kDays, 7},
    {"d", Part::kDays, 1},
    {"day", Part::kDays, 1},
    {"days", Part::kDays, 1},
    {"h", Part::kMicros, kHour},
    {"hr", Part::kMicros, kHour},
    {"hrs", Part::kMicros, kHour},
    {"hour", Part::kMicros, kHour},
    {"hours", Part::kMicros, kHour},
    {"m", Part::kMicros, kMinute},
    {"min", Part::kMicros, kMinute},
    {"mins", Part::kMicros, kMinute},
    {"minute", Part::kMicros, kMinute},
    {"minutes", Part::kMicros, kMinute},
    {"s", Part::kMicros, kMicrosPerSecond},
    {"sec", Part::kMicros, kMicrosPerSecond},
    {"secs", Part::kMicros, kMicrosPerSecond},
    {"second", Part::kMicros, kMicrosPerSecond},
    {"seconds", Part::kMicros, kMicrosPerSecond},
    {"ms", Part::kMicros, 1000},
    {"msec", Part::kMicros, 1000},
    {"msecs", Part::kMicros, 1000},
    {"millisecond", Part::kMicros, 1000},
    {"milliseconds", Part::kMicros, 1000},
    {"us", Part::kMicros, 1},
    {"usec", Part::kMicros, 1},
    {"usecs", Part::kMicros, 1},
    {"microsecond", Part::kMicros, 1},
    {"microseconds", Part::kMicros, 1},
};

/// One bit for each unit, whatever its name.
uint64_t unit_bit(Part part, int64_t factor) {
  static_assert(std::size(kUnits) <= 64);
  uint64_t bit = 1;
  for (const Unit& unit : kUnits) {
    if (unit.part == part && unit.factor == factor) break;
    bit <<= 1;
  }
  return bit;
}

const Unit* find_unit(std::string_view name) {
  for (const Unit& unit : kUnits) {
    if (unit.name.size() == name.size() &&
        std::equal(name.begin(), name.end(), unit.name.begin(),
                   [](char a, char b) { return TextReader::lower(a) == b; })) {
      return &unit;
    }
  }
  return nullptr;
}

/// A number with its fraction in millionths.
struct Quantity {
  bool negative = false;
  int64_t whole = 0;
  int64_t millionths = 0;
};

/// IntervalParser adds up fields; any failure makes ok() false permanently.
class IntervalParser {
 public:
  explicit IntervalParser(std::string_view text) : reader_(text) {}

  bool parse() {
    if (reader_.take('P')) {
      parse_iso();
    } else {
      parse_postgres();
    }
    return ok_ && fields_ != 0;
  }
  bool overflow() const { return overflow_; }

  int64_t months = 0;
  int64_t days = 0;
  int64_t micros = 0;

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

  void parse_iso() {
    bool time = false;
    while (ok_ && !reader_.done()) {
      if (!time && reader_.take('T')) {
        time = true;
        continue;
      }
      Quantity quantity;
      if (reader_.peek() == '+' || !read_quantity(quantity)) return fail();
      const char unit = reader_.peek();
      reader_.skip(reader_.done() ? 0 : 1);
      if (!time && unit == 'Y') {
        add(quantity, Part::kMonths, 12);
      } else if (!time && unit == 'M') {
        add(quantity, Part::kMonths, 1);
      } else if (!time && unit == 'W') {
        add(quantity, Part::kDays, 7);
      } else if (!time && unit == 'D') {
        add(quantity, Part::kDays, 1);
      } else if (time && unit == 'H') {
        add(quantity, Part::kMicros, kHour);
      } else if (time && unit == 'M') {
        add(quantity, Part::kMicros, kMinute);
      } else if (time && unit == 'S') {
        add(quantity, Part::kMicros, kMicrosPerSecond);
      } else {
        return fail();
      }
    }
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
    const bool fraction = quantity.millionths != 0 && unit.factor == kMicrosPerSecond;
    return first_of_all(fraction ? seconds_units() : unit_bit(unit.part, unit.factor));
  }
  bool first_of_all(uint64_t units) {
    const bool first = (units_ & units) == 0;
    units_ |= units;
    return first;
  }

  bool read_quantity(Quantity& quantity) {
    quantity.negative = reader_.peek() == '-';
    if (quantity.negative || reader_.peek() == '+') reader_.skip(1);
    constexpr size_t kDigitsMax = 18;
    if (!reader_.take_number(1, kDigitsMax, quantity.whole)) return false;
    return !reader_.take('.') || read_fraction(quantity.millionths);
  }

  /// Digits after a point; more digits than microseconds would be rounded.
  bool read_fraction(int64_t& millionths) {
    constexpr size_t kPlaces = 6;
    const std::string_view digits = reader_.take_digits();
    if (digits.size() > kPlaces &&
        digits.find_first_not_of('0', kPlaces) != std::string_view::npos) {
      return false;
    }
    millionths = 0;
    for (size_t i = 0; i < kPlaces; ++i) {
      millionths = millionths * 10 + (i < digits.size() ? digits[i] - '0' : 0);
    }
    return true;
  }

  /// [-]HH:MM[:SS[.fraction]], the hours read already.
  void read_clock(const Quantity& hours) {
    Quantity minutes;
    Quantity seconds;
    reader_.take(':');
    if (hours.millionths != 0 || !first_of_all(clock_units()) ||
        !reader_.take_number(2, 2, minutes.whole) || minutes.whole > 59) {
      return fail();
    }
    if (reader_.take(':')) {
      if (!reader_.take_number(2, 2, seconds.whole) || seconds.whole > 59) return fail();
      if (reader_.take('.') && !read_fraction(seconds.millionths)) return fail();
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
    if (__builtin_mul_overflow(quantity.whole, factor, &amount)) return overflown();
    if (quantity.millionths != 0) {
      // Fractions of days and months would have to be converted to smaller units, which depends on
      // the session.
      if (part != Part::kMicros) return fail();
      rest = quantity.millionths * factor;
      if (rest % 1'000'000 != 0) return fail();
      rest /= 1'000'000;
    }
    if (__builtin_add_overflow(amount, rest, &amount)) return overflown();
    if (quantity.negative) amount = -amount;
    int64_t& sum = part == Part::kMonths ? months : part == Part::kDays ? days : micros;
    if (__builtin_add_overflow(sum, amount, &sum)) return overflown();
  }

  void negate() {
    constexpr int64_t kMin = std::numeric_limits<int64_t>::min();
    if (micros == kMin) return overflown();
    months = -months;
    days = -days;
    micros = -micros;
  }

  void fail() { ok_ = false; }
  void overflown() {
    overflow_ = true;
    ok_ = false;
  }

  TextReader reader_;
  int fields_ = 0;
  uint64_t units_ = 0;  ///< Seen so far.
  bool ok_ = true;
  bool overflow_ = false;
};

bool in_int32(int64_t value) {
  return value >= std::numeric_limits<int32_t>::min() &&
         value <= std::numeric_limits<int32_t>::max();
}

}  // namespace

bool parse_interval(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  IntervalParser parser(pgproto::ascii::trim(text));
  const bool parsed = parser.parse();
  if (!parsed && !parser.overflow()) {
    fault = parse_fault(target, text, kIntervalForm);
    fault.sqlstate = sqlstate::kDatetimeFormat;
    return false;
  }
  const bool held =
      parsed && in_int32(parser.months) && in_int32(parser.days) &&
      interval_fits(static_cast<int32_t>(parser.months), static_cast<int32_t>(parser.days),
                    parser.micros, target.type_modifier);
  if (!held) {
    fault = {sqlstate::kIntervalOverflow,
             shortened(text) +
                 " is outside interval's range, or not what the column's fields and "
                 "precision can hold"};
    return false;
  }
  out.put(parser.micros);
  out.put(static_cast<int32_t>(parser.days));
  out.put(static_cast<int32_t>(parser.months));
  return true;
}

}  // namespace pgsink::encode
