#include "pgsink/encode/values/calendar.h"

#include <array>
#include <charconv>
#include <cstdlib>

namespace pgsink::encode {
namespace {

void append_number(int64_t value, std::string& to) {
  std::array<char, 24> text;
  const auto result = std::to_chars(text.data(), text.data() + text.size(), value);
  to.append(text.data(), result.ptr);
}

void append_padded(int64_t value, size_t width, std::string& to) {
  const size_t begin = to.size();
  append_number(value, to);
  const size_t digits = to.size() - begin;
  if (digits < width) to.insert(begin, width - digits, '0');
}

void append_fraction(int64_t ticks, int64_t per_second, std::string& to) {
  if (ticks == 0) return;
  size_t width = 0;
  for (int64_t n = per_second; n > 1; n /= 10) ++width;
  to += '.';
  append_padded(ticks, width, to);
  while (to.back() == '0') to.pop_back();
}

void append_civil(const Civil& date, std::string& to) {
  append_padded(date.year > 0 ? date.year : 1 - date.year, 4, to);
  to += '-';
  append_padded(date.month, 2, to);
  to += '-';
  append_padded(date.day, 2, to);
}

void append_plural(int64_t value, std::string_view unit, bool& first, bool& after_negative,
                   std::string& to) {
  if (value == 0) return;
  if (!first) to += ' ';
  if (after_negative && value > 0) to += '+';
  append_number(value, to);
  to += ' ';
  to += unit;
  if (value != 1) to += 's';
  after_negative = value < 0;
  first = false;
}

}  // namespace

// The year starts in March here, so that the leap day is its last; eras of 400 years repeat.
Civil civil_from_days(int64_t days_since_1970) {
  constexpr int64_t kDaysPerEra = 146'097;
  constexpr int64_t kDaysToMarchOfYearZero = 719'468;
  // The era first, so that no 64-bit count of days overflows.
  const int64_t days = floor_mod(days_since_1970, kDaysPerEra) + kDaysToMarchOfYearZero;
  const int64_t era = floor_div(days_since_1970, kDaysPerEra) + days / kDaysPerEra;
  const int64_t day_of_era = days % kDaysPerEra;
  const int64_t year_of_era =
      (day_of_era - day_of_era / 1460 + day_of_era / 36'524 - day_of_era / 146'096) / 365;
  const int64_t day_of_year =
      day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const int64_t month_from_march = (5 * day_of_year + 2) / 153;
  const auto day = static_cast<unsigned>(day_of_year - (153 * month_from_march + 2) / 5 + 1);
  const auto month =
      static_cast<unsigned>(month_from_march < 10 ? month_from_march + 3 : month_from_march - 9);
  return {year_of_era + era * 400 + (month <= 2 ? 1 : 0), month, day};
}

int64_t days_from_civil(int64_t year, unsigned month, unsigned day) {
  year -= month <= 2 ? 1 : 0;
  const int64_t era = floor_div(year, 400);
  const int64_t year_of_era = year - era * 400;
  const int64_t month_from_march = month > 2 ? int64_t{month} - 3 : int64_t{month} + 9;
  const int64_t day_of_year = (153 * month_from_march + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146'097 + day_of_era - 719'468;
}

unsigned days_in_month(int64_t year, unsigned month) {
  constexpr std::array<unsigned, 12> kDays{31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  const bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return month == 2 && leap ? 29 : kDays[month - 1];
}

int64_t ticks_per_second(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kSecond:
      return 1;
    case TimeUnit::kMilli:
      return 1'000;
    case TimeUnit::kMicro:
      return 1'000'000;
    case TimeUnit::kNano:
      break;
  }
  return 1'000'000'000;
}

void append_date(int64_t days_since_1970, std::string& to) {
  const Civil date = civil_from_days(days_since_1970);
  append_civil(date, to);
  if (date.year <= 0) to += " BC";
}

void append_time(int64_t ticks, TimeUnit unit, std::string& to) {
  const int64_t per_second = ticks_per_second(unit);
  const int64_t seconds = floor_div(ticks, per_second);
  append_padded(seconds / 3600, 2, to);
  to += ':';
  append_padded(seconds / 60 % 60, 2, to);
  to += ':';
  append_padded(seconds % 60, 2, to);
  append_fraction(floor_mod(ticks, per_second), per_second, to);
}

void append_span(int64_t ticks, TimeUnit unit, std::string& to) {
  const int64_t per_second = ticks_per_second(unit);
  // Not -ticks: the smallest number has no positive one.
  const int64_t seconds = ticks / per_second;
  const int64_t fraction = ticks % per_second;
  if (ticks < 0) to += '-';
  append_padded(std::abs(seconds / 3600), 2, to);
  to += ':';
  append_padded(std::abs(seconds / 60 % 60), 2, to);
  to += ':';
  append_padded(std::abs(seconds % 60), 2, to);
  append_fraction(std::abs(fraction), per_second, to);
}

void append_timestamp(int64_t ticks, TimeUnit unit, bool utc, DateStyle style, std::string& to) {
  const int64_t per_day = kSecondsPerDay * ticks_per_second(unit);
  const Civil date = civil_from_days(floor_div(ticks, per_day));
  append_civil(date, to);
  to += style == DateStyle::kJson ? 'T' : ' ';
  append_time(floor_mod(ticks, per_day), unit, to);
  if (utc) to += style == DateStyle::kJson ? "+00:00" : "+00";
  if (date.year <= 0) to += " BC";
}

// Server: EncodeInterval(), INTSTYLE_POSTGRES.
void append_interval(int32_t months, int32_t days, int64_t micros, std::string& to) {
  bool first = true;
  bool after_negative = false;
  append_plural(months / 12, "year", first, after_negative, to);
  append_plural(months % 12, "mon", first, after_negative, to);
  append_plural(days, "day", first, after_negative, to);
  if (micros == 0 && !first) return;
  if (!first) to += ' ';
  if (micros < 0) {
    to += '-';
  } else if (after_negative) {
    to += '+';
  }
  const auto magnitude =
      micros < 0 ? 0 - static_cast<uint64_t>(micros) : static_cast<uint64_t>(micros);
  const auto seconds = static_cast<int64_t>(magnitude / 1'000'000);
  append_padded(seconds / 3600, 2, to);
  to += ':';
  append_padded(seconds / 60 % 60, 2, to);
  to += ':';
  append_padded(seconds % 60, 2, to);
  append_fraction(static_cast<int64_t>(magnitude % 1'000'000), kMicrosPerSecond, to);
}

}  // namespace pgsink::encode
