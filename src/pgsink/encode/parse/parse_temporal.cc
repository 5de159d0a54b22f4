// Text → date, time, timetz, timestamp, timestamptz. The ISO 8601 forms that PostgreSQL prints are
// tried first, then its long forms (datetime_fields.h). An instant without a zone is read as UTC.

#include <limits>
#include <string>

#include <pgproto/ascii.h>

#include "pgsink/encode/base/shortened.h"
#include "pgsink/encode/parse/datetime_fields.h"
#include "pgsink/encode/parse/moment.h"
#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/parse/text_reader.h"
#include "pgsink/encode/values/calendar.h"
#include "pgsink/encode/values/rounding.h"
#include "pgsink/encode/values/temporal.h"

namespace pgsink::encode {
namespace {

constexpr std::string_view kDateForm = "a date as 2024-01-31, infinity or -infinity";
constexpr std::string_view kTimestampForm =
    "a timestamp as 2024-01-31 12:34:56.789 (time zone as Z or +01:00), infinity or -infinity";
constexpr std::string_view kTimeForm = "a time as 12:34:56.789 (time zone as Z or +01:00)";

Fault form_fault(const Target& target, std::string_view text, std::string_view form) {
  Fault fault = parse_fault(target, text, form);
  fault.sqlstate = sqlstate::kDatetimeFormat;
  return fault;
}

Fault value_fault(std::string_view text, std::string_view why) {
  return {sqlstate::kDatetimeOverflow, shortened(text) + " " + std::string(why)};
}

/// YYYYMMDD, and nothing else before a time.
bool read_basic_date(TextReader& reader, Civil& date) {
  constexpr size_t kDigits = 8;
  TextReader ahead = reader;
  if (ahead.take_digits().size() != kDigits) return false;
  if (!ahead.done() && ahead.peek() != ' ' && ahead.peek() != 'T' && ahead.peek() != 't') {
    return false;
  }
  int64_t number = 0;
  reader.take_number(kDigits, kDigits, number);
  date.year = number / 10'000;
  date.month = static_cast<unsigned>(number / 100 % 100);
  date.day = static_cast<unsigned>(number % 100);
  return true;
}

bool read_date(TextReader& reader, Civil& date) {
  if (read_basic_date(reader, date)) return true;
  int64_t month = 0;
  int64_t day = 0;
  if (!reader.take_number(4, 7, date.year) || !reader.take('-') ||
      !reader.take_number(1, 2, month) || !reader.take('-') || !reader.take_number(1, 2, day)) {
    return false;
  }
  date.month = static_cast<unsigned>(month);
  date.day = static_cast<unsigned>(day);
  return true;
}

/// A type without zone takes only UTC; the server would ignore any other zone.
Fault zone_fault(const Target& target, std::string_view text) {
  return {sqlstate::kDatetimeFormat, shortened(text) + " has a time zone, which " + target.name +
                                         " does not hold; write it in UTC"};
}

/// Whether the type holds the time, which is rounded if the rules say so.
bool holds_time(const Target& target, const Moment& moment, int64_t& micros) {
  const int64_t step = fraction_step(target.type_modifier);
  if (target.rules.rounds) return round_to_step(micros, step);
  return !moment.rounds && micros % step == 0;
}

struct Clock {
  int64_t hours = 0, minutes = 0, seconds = 0;
};

/// HHMM or HHMMSS, and no further digit.
bool read_basic_clock(TextReader& reader, Clock& clock) {
  constexpr size_t kDigits = 4, kDigitsWithSeconds = 6;
  TextReader ahead = reader;
  const size_t digits = ahead.take_digits().size();
  if (digits != kDigits && digits != kDigitsWithSeconds) return false;
  int64_t number = 0;
  reader.take_number(digits, digits, number);
  if (digits == kDigits) number *= 100;
  clock = {.hours = number / 10'000, .minutes = number / 100 % 100, .seconds = number % 100};
  return true;
}

/// H:M or H:M:S, each of one or two digits; says whether there are seconds.
bool read_parted_clock(TextReader& reader, Clock& clock, bool& has_seconds) {
  if (!reader.take_number(1, 2, clock.hours) || !reader.take(':') ||
      !reader.take_number(1, 2, clock.minutes)) {
    return false;
  }
  has_seconds = reader.take(':');
  return !has_seconds || reader.take_number(1, 2, clock.seconds);
}

/// One of the two, and a fraction of a second.
bool read_clock(TextReader& reader, Moment& moment) {
  Clock clock;
  bool may_have_fraction = true;
  const bool basic = read_basic_clock(reader, clock);
  if (!basic && !read_parted_clock(reader, clock, may_have_fraction)) return false;
  int64_t fraction = 0;
  size_t fraction_digits = 0;
  if (may_have_fraction && reader.take('.')) {
    const std::string_view digits = reader.take_digits();
    if (basic && digits.empty()) return false;
    fraction_digits = digits.size();
    fraction = second_fraction(digits, moment.rounds);
  }
  // Of 123456-08:00 the server takes no colon.
  if (basic && fraction_digits == 0 && reader.peek() == '-' && reader.rest().contains(':')) {
    return false;
  }
  if (clock.hours > 24 || clock.minutes > 59 || clock.seconds > 60) return false;
  moment.micros =
      ((clock.hours * 60 + clock.minutes) * 60 + clock.seconds) * kMicrosPerSecond + fraction;
  moment.has_time = true;
  return moment.micros <= kMicrosPerDay;
}

/// Z, UTC, GMT, ±HH, ±HHMM, ±HH:MM, ±HH:MM:SS; nothing is fine too.
bool read_zone(TextReader& reader, Moment& moment) {
  if (reader.take_word("Z") || reader.take_word("UTC") || reader.take_word("GMT")) return true;
  const char sign = reader.peek();
  if (sign != '+' && sign != '-') return true;
  reader.skip(1);
  int64_t hours = 0;
  int64_t minutes = 0;
  int64_t seconds = 0;
  const size_t digits_before = reader.rest().size();
  if (!reader.take_number(1, 4, hours)) return false;
  // Three or four digits include the minutes: +011 is eleven minutes, not hours.
  if (digits_before - reader.rest().size() > 2) {
    minutes = hours % 100;
    hours /= 100;
  } else if (reader.take(':')) {
    if (!reader.take_number(2, 2, minutes)) return false;
    if (reader.take(':') && !reader.take_number(2, 2, seconds)) return false;
  }
  constexpr int64_t kZoneHoursMax = 15;  // Server: MAX_TZDISP_HOUR
  if (hours > kZoneHoursMax || minutes > 59 || seconds > 59) return false;
  moment.zone_seconds = (hours * 60 + minutes) * 60 + seconds;
  if (sign == '-') moment.zone_seconds = -moment.zone_seconds;
  return true;
}

bool read_iso_moment(std::string_view text, Moment& moment) {
  TextReader reader(text);
  if (!read_date(reader, moment.date)) return false;
  const bool separated = reader.take('T') || reader.take('t');
  if (!separated) reader.skip_spaces();
  if (TextReader::is_digit(reader.peek())) {
    if (!read_clock(reader, moment)) return false;
    reader.skip_spaces();
    if (!read_zone(reader, moment)) return false;
  } else if (separated) {
    return false;
  }
  reader.skip_spaces();
  if (moment.date.year == 0) return false;  // there is no year between 1 BC and 1 AD
  if (reader.take_word("BC")) moment.date.year = 1 - moment.date.year;
  const Civil& date = moment.date;
  return reader.done() && date.month >= 1 && date.month <= 12 && date.day >= 1 &&
         date.day <= days_in_month(date.year, date.month);
}

bool read_iso_time(std::string_view text, const ValueRules& rules, Moment& moment) {
  TextReader reader(text);
  if (reader.take('T') || reader.take('t')) {
    TextReader ahead = reader;  // T123456-08 is a time before 16 only.
    ahead.take_digits();
    if (rules.since(16) && ahead.peek() == '-') return false;
  }
  if (!read_clock(reader, moment)) return false;
  reader.skip_spaces();
  return read_zone(reader, moment) && reader.done();
}

/// Why a known form is not taken; "" if it is not a known one.
std::string_view why_not(LongForm form) {
  switch (form) {
    case LongForm::kDateOrder:
      return "has its day where the session's DateStyle says; write the date as 2024-01-31";
    case LongForm::kZoneName:
      return "names a time zone, whose meaning the session decides; write Z or an offset as +01:00";
    case LongForm::kClock:
      return "is the time at which the server reads it; write a date and time";
    case LongForm::kValue:
    case LongForm::kNone:
      break;
  }
  return "";
}

bool read_long(const Target& target, std::string_view text, std::string_view form, bool time_only,
               Moment& moment, Fault& fault) {
  const LongForm read = read_long_form(text, time_only, moment);
  if (read == LongForm::kValue) return true;
  const std::string_view why = why_not(read);
  fault = why.empty() ? form_fault(target, text, form)
                      : Fault{sqlstate::kDatetimeFormat, shortened(text) + " " + std::string(why)};
  return false;
}

/// A fraction of a second without digits, which servers before 15 refuse.
bool lacks_digits(const Target& target, std::string_view text, std::string_view form,
                  Fault& fault) {
  if (target.rules.since(15) || !has_bare_point(text, true)) return false;
  fault = form_fault(target, text, form);
  return true;
}

/// A date, with a time perhaps.
bool read_moment(const Target& target, std::string_view text, std::string_view form, Moment& moment,
                 Fault& fault) {
  if (lacks_digits(target, text, form, fault)) return false;
  if (read_iso_moment(text, moment)) return true;
  return read_long(target, text, form, false, moment, fault);
}

}  // namespace

// Server: datetktbl in datetime.c, where "+infinity" stands since 16.
int read_infinity(std::string_view text, const ValueRules& rules) {
  TextReader reader(text);
  const bool negative = reader.take('-');
  if (!negative && rules.since(16)) reader.take('+');
  if (!reader.take_word("infinity") || !reader.done()) return 0;
  return negative ? -1 : 1;
}

bool parse_date(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  if (const int infinity = read_infinity(word, target.rules); infinity != 0) {
    out.put(infinity > 0 ? std::numeric_limits<int32_t>::max()
                         : std::numeric_limits<int32_t>::min());
    return true;
  }
  Moment moment;
  if (!read_moment(target, word, kDateForm, moment, fault)) return false;
  if (moment.zone_seconds != 0) {
    fault = zone_fault(target, text);
    return false;
  }
  const int64_t days = days_from_civil(moment.date.year, moment.date.month, moment.date.day);
  if (!target.rules.rounds && (moment.micros != 0 || moment.rounds)) {
    fault = value_fault(text, "has a time of day, which date does not hold");
    return false;
  }
  if (days < kDateMinDays || days >= kDateEndDays) {
    fault = value_fault(text, "is outside date's range (4714-11-24 BC to 5874897-12-31)");
    return false;
  }
  out.put(static_cast<int32_t>(days - kEpochDays));
  return true;
}

bool parse_time(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  Moment moment;
  const bool zoned = target.kind == TargetKind::kTimetz;
  if (lacks_digits(target, word, kTimeForm, fault)) return false;
  if (!read_iso_time(word, target.rules, moment)) {
    moment = {};
    if (!read_long(target, word, kTimeForm, true, moment, fault)) return false;
  }
  if (moment.zone_seconds != 0 && !zoned) {
    fault = zone_fault(target, text);
    return false;
  }
  if (!holds_time(target, moment, moment.micros)) {
    fault = value_fault(text, "would be rounded to the type's fractional digits");
    return false;
  }
  out.put(moment.micros);
  if (zoned) out.put(static_cast<int32_t>(-moment.zone_seconds));  // west is positive
  return true;
}

bool parse_timestamp(const Target& target, std::string_view text, Scratch& out, Fault& fault) {
  const std::string_view word = pgproto::ascii::trim(text);
  if (const int infinity = read_infinity(word, target.rules); infinity != 0) {
    out.put(infinity > 0 ? std::numeric_limits<int64_t>::max()
                         : std::numeric_limits<int64_t>::min());
    return true;
  }
  Moment moment;
  const bool zoned = target.kind == TargetKind::kTimestamptz;
  if (!read_moment(target, word, kTimestampForm, moment, fault)) return false;
  if (moment.zone_seconds != 0 && !zoned) {
    fault = zone_fault(target, text);
    return false;
  }
  const int64_t days = days_from_civil(moment.date.year, moment.date.month, moment.date.day);
  // Seven digits of year are far within int64 seconds, but not microseconds.
  const int64_t seconds = (days - kEpochDays) * kSecondsPerDay - moment.zone_seconds;
  int64_t micros = 0;
  const bool fits = !__builtin_mul_overflow(seconds, kMicrosPerSecond, &micros) &&
                    !__builtin_add_overflow(micros, moment.micros, &micros);
  if (fits && !holds_time(target, moment, micros)) {
    fault = value_fault(text, "would be rounded to the type's fractional digits");
    return false;
  }
  if (!fits || micros < kTimestampMinMicros - kEpochMicros ||
      micros >= (kTimestampEndDays - kEpochDays) * kMicrosPerDay) {
    fault = value_fault(text, "is outside the type's range (4714-11-24 BC to 294276-12-31)");
    return false;
  }
  out.put(micros);
  return true;
}

}  // namespace pgsink::encode
