#include "pgsink/partition/range.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <limits>

#include "pgsink/encode/parse/parse.h"
#include "pgsink/encode/values/calendar.h"

namespace pgsink {
namespace {

using encode::TargetKind;
using pgproto::fail;
using Limits64 = std::numeric_limits<int64_t>;

constexpr int64_t kMicrosPerHour = 3'600 * encode::kMicrosPerSecond;
constexpr int64_t kDaysPerWeek = 7;
constexpr int64_t kThursday = 3;  // The weekday of 1970-01-01, counted from Monday.

std::string padded(int64_t value, size_t width) {
  std::string digits = std::to_string(value < 0 ? -value : value);
  if (digits.size() < width) digits.insert(0, width - digits.size(), '0');
  return value < 0 ? "-" + digits : digits;
}

int64_t monday_of(int64_t day) { return day - encode::floor_mod(day + kThursday, kDaysPerWeek); }

/// The ISO 8601 week of a day, and its year: that of its Thursday.
std::pair<int64_t, int64_t> iso_week(int64_t day) {
  const int64_t thursday = monday_of(day) + kThursday;
  const int64_t year = encode::civil_from_days(thursday).year;
  return {year, (thursday - encode::days_from_civil(year, 1, 1)) / kDaysPerWeek + 1};
}

/// One conversion of strftime(); "" for an unknown one.
std::string convert(char conversion, int64_t day, int64_t second_of_day) {
  const encode::Civil date = encode::civil_from_days(day);
  switch (conversion) {
    case 'Y':
      return padded(date.year, 4);
    case 'y':
      return padded(encode::floor_mod(date.year, 100), 2);
    case 'm':
      return padded(date.month, 2);
    case 'd':
      return padded(date.day, 2);
    case 'j':
      return padded(day - encode::days_from_civil(date.year, 1, 1) + 1, 3);
    case 'G':
      return padded(iso_week(day).first, 4);
    case 'V':
      return padded(iso_week(day).second, 2);
    case 'H':
      return padded(second_of_day / 3600, 2);
    case 'M':
      return padded(second_of_day / 60 % 60, 2);
    case 'S':
      return padded(second_of_day % 60, 2);
    case '%':
      return "%";
    default:
      return {};
  }
}

struct UnitOfTime {
  std::string_view word;
  std::string_view format;
};
constexpr std::array<UnitOfTime, 5> kUnits{{{"hour", "%Y%m%d%H"},
                                            {"day", "%Y%m%d"},
                                            {"week", "%Y%m%d"},
                                            {"month", "%Y%m"},
                                            {"year", "%Y"}}};

}  // namespace

Result<RangeRule> RangeRule::create(const encode::Target& target, std::string_view interval) {
  RangeRule rule;
  rule.target_ = target;
  const auto integers = [&rule]<typename T>(T) {
    rule.value_bytes_ = sizeof(T);
    rule.min_ = std::numeric_limits<T>::min();
    rule.max_ = std::numeric_limits<T>::max();
  };
  const auto times = [&rule](Key key) {
    rule.key_ = key;
    rule.value_bytes_ = sizeof(int64_t);
    rule.min_ = encode::kTimestampMinMicros - encode::kEpochMicros;
    // The last year that microseconds since 1970 can express, 29 years before the type's end.
    rule.max_ = Limits64::max() - encode::kEpochMicros;
  };
  switch (target.kind) {
    case TargetKind::kInt2:
      integers(int16_t{});
      break;
    case TargetKind::kInt4:
      integers(int32_t{});
      break;
    case TargetKind::kInt8:
      integers(int64_t{});
      break;
    case TargetKind::kDate:
      rule.key_ = Key::kDate;
      rule.value_bytes_ = sizeof(int32_t);
      rule.min_ = encode::kDateMinDays - encode::kEpochDays;
      rule.max_ = encode::kDateEndDays - encode::kEpochDays - 1;
      break;
    case TargetKind::kTimestamp:
      times(Key::kTimestamp);
      break;
    case TargetKind::kTimestamptz:
      times(Key::kTimestamptz);
      break;
    default:
      return fail(Errc::kOptionConflict,
                  "create_partitions: pgsink cannot compute ranges of " + target.name +
                      ", only of date, timestamp, timestamptz and integers: create its partitions "
                      "yourself and leave create_partitions out");
  }
  if (interval.empty() && rule.is_time()) interval = "day";
  const auto unit = std::ranges::find(kUnits, interval, &UnitOfTime::word);
  if (!rule.is_time()) {
    std::from_chars(interval.data(), interval.data() + interval.size(), rule.width_);
  }
  const bool fits = rule.is_time() ? unit != kUnits.end() : rule.width_ > 0;
  if (!fits || (rule.key_ == Key::kDate && interval == "hour")) {
    const std::string wanted = !rule.is_time()           ? "a number, such as 1000000"
                               : rule.key_ == Key::kDate ? "'day', 'week', 'month' or 'year'"
                                                         : "'hour', 'day', 'week', 'month' or "
                                                           "'year'";
    return fail(Errc::kOptionConflict, "partition_interval: ranges of " + target.name + " take " +
                                           wanted + (interval.empty() ? "" : ", not '") +
                                           std::string(interval) + (interval.empty() ? "" : "'"));
  }
  if (rule.is_time()) {
    rule.unit_ = static_cast<Unit>(1 + (unit - kUnits.begin()));
    rule.default_format_ = unit->format;
  }
  return rule;
}

int64_t RangeRule::load(pgproto::Bytes value) const {
  PGPROTO_ASSERT(value.size() == value_bytes_);
  switch (value_bytes_) {
    case sizeof(int16_t):
      return pgproto::load_be<int16_t>(value.data());
    case sizeof(int32_t): {
      const auto days = pgproto::load_be<int32_t>(value.data());
      // For dates, ±infinity are the ends of a smaller type.
      if (key_ == Key::kDate && days == std::numeric_limits<int32_t>::max()) return Limits64::max();
      if (key_ == Key::kDate && days == std::numeric_limits<int32_t>::min()) return Limits64::min();
      return days;
    }
    default:
      return pgproto::load_be<int64_t>(value.data());
  }
}

std::optional<int64_t> RangeRule::parse(std::string_view text) const {
  encode::Scratch bytes;
  encode::Fault fault;
  if (!encode::parse_value(target_, text, bytes, fault)) return std::nullopt;
  return load(bytes.bytes_from(0));
}

/// Days since 1970.
int64_t RangeRule::day_of(int64_t value) const {
  if (key_ == Key::kDate) return value + encode::kEpochDays;
  return encode::floor_div(value, encode::kMicrosPerDay) + encode::kEpochDays;
}

RangeSpan RangeRule::around(int64_t value) const {
  if (unit_ == Unit::kNumber) {
    const int64_t before = encode::floor_mod(value, width_);
    const int64_t after = width_ - 1 - before;
    return {value < min_ + before ? min_ : value - before,
            max_ - after < value ? max_ : value + after};
  }
  if (unit_ == Unit::kHour) {
    const int64_t first = value - encode::floor_mod(value, kMicrosPerHour);
    const bool cut = max_ - (kMicrosPerHour - 1) < first;
    return {std::max(first, min_), cut ? max_ : first + kMicrosPerHour - 1};
  }
  return around_days(day_of(value));
}

RangeSpan RangeRule::around_days(int64_t day) const {
  const encode::Civil date = encode::civil_from_days(day);
  int64_t first = day;
  int64_t end = day + 1;
  if (unit_ == Unit::kWeek) {
    first = monday_of(day);
    end = first + kDaysPerWeek;
  } else if (unit_ == Unit::kMonth) {
    first = day - date.day + 1;
    end = first + encode::days_in_month(date.year, date.month);
  } else if (unit_ == Unit::kYear) {
    first = encode::days_from_civil(date.year, 1, 1);
    end = encode::days_from_civil(date.year + 1, 1, 1);
  }
  first = std::max(first, day_of(min_));
  const bool cut = end > day_of(max_);
  const int64_t scale = key_ == Key::kDate ? 1 : encode::kMicrosPerDay;
  return {(first - encode::kEpochDays) * scale,
          cut ? max_ : (end - encode::kEpochDays) * scale - 1};
}

std::string RangeRule::constant(int64_t value) const {
  if (key_ == Key::kInteger)
    return value < 0 ? "'" + std::to_string(value) + "'" : std::to_string(value);
  std::string text = "'";
  if (key_ == Key::kDate) {
    encode::append_date(value + encode::kEpochDays, text);
  } else {
    encode::append_timestamp(value + encode::kEpochMicros, TimeUnit::kMicro,
                             key_ == Key::kTimestamptz, encode::DateStyle::kText, text);
  }
  return text + "'";
}

std::string RangeRule::from_sql(const RangeSpan& span) const {
  return span.first <= min_ ? "MINVALUE" : constant(span.first);
}

std::string RangeRule::to_sql(const RangeSpan& span) const {
  return span.last >= max_ ? "MAXVALUE" : constant(span.last + 1);
}

std::string RangeRule::name(int64_t value, std::string_view format) const {
  if (key_ == Key::kInteger) return std::to_string(value);
  const int64_t second = key_ == Key::kDate ? 0
                                            : encode::floor_mod(value, encode::kMicrosPerDay) /
                                                  encode::kMicrosPerSecond;
  if (format.empty()) format = default_format_;
  std::string text;
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%' || i + 1 == format.size()) {
      text += format[i];
    } else {
      text += convert(format[++i], day_of(value), second);
    }
  }
  return text;
}

std::string RangeRule::name_of_start(const RangeSpan& span, std::string_view format) const {
  return span.first <= min_ ? "min" : name(span.first, format);
}

std::string RangeRule::name_of_end(const RangeSpan& span, std::string_view format) const {
  return span.last >= max_ ? "max" : name(span.last + 1, format);
}

Status RangeRule::check_format(std::string_view format) {
  for (size_t i = 0; i < format.size(); ++i) {
    if (format[i] != '%') continue;
    if (i + 1 < format.size() && !convert(format[i + 1], 0, 0).empty()) {
      ++i;
      continue;
    }
    return fail(Errc::kOptionValue, "partition_name: \"" + std::string(format.substr(i, 2)) +
                                        "\" is none of %Y %y %m %d %j %G %V %H %M %S %%");
  }
  return {};
}

}  // namespace pgsink
