#pragma once
// The proleptic Gregorian calendar and PostgreSQL's way to print and count days and microseconds.

#include <cstdint>
#include <string>

#include <pgsink/record_batch.h>

namespace pgsink::encode {

inline constexpr int64_t kSecondsPerDay = 86'400;
inline constexpr int64_t kMicrosPerSecond = 1'000'000;
inline constexpr int64_t kMicrosPerDay = kSecondsPerDay * kMicrosPerSecond;
/// Days and microseconds from 1970-01-01 to 2000-01-01, PostgreSQL's epoch.
inline constexpr int64_t kEpochDays = 10'957;
inline constexpr int64_t kEpochMicros = kEpochDays * kMicrosPerDay;

// Ranges, counted from 1970. Server: MIN_TIMESTAMP, END_TIMESTAMP, DATETIME_MIN_JULIAN,
// DATE_END_JULIAN.
inline constexpr int64_t kDateMinDays = -2'440'588;     ///< 4714-11-24 BC, Julian day 0
inline constexpr int64_t kDateEndDays = 2'145'042'906;  ///< 5874898-06-04, not included
inline constexpr int64_t kTimestampMinMicros = kDateMinDays * kMicrosPerDay;
inline constexpr int64_t kTimestampEndDays = 106'762'940;  ///< 294277-01-01, not included

constexpr int64_t floor_div(int64_t a, int64_t b) {
  return a / b - ((a % b != 0 && (a % b < 0) != (b < 0)) ? 1 : 0);
}
// Without a - floor_div(a, b) * b, whose product overflows near INT64_MIN.
constexpr int64_t floor_mod(int64_t a, int64_t b) {
  const int64_t rest = a % b;
  return rest != 0 && (rest < 0) != (b < 0) ? rest + b : rest;
}

/// Civil is a date with an astronomical year: 0 is 1 BC.
struct Civil {
  int64_t year = 0;
  unsigned month = 0;
  unsigned day = 0;
};
Civil civil_from_days(int64_t days_since_1970);
int64_t days_from_civil(int64_t year, unsigned month, unsigned day);
unsigned days_in_month(int64_t year, unsigned month);

/// Ticks of a unit in a second: 1, 1000, 1000000, 1000000000.
int64_t ticks_per_second(TimeUnit unit);

/// DateStyle says how text is printed; both are ISO 8601.
enum class DateStyle : uint8_t {
  kText,  ///< "2024-01-31 12:00:00+00", as PostgreSQL prints with DateStyle ISO
  kJson,  ///< "2024-01-31T12:00:00+00:00", as its to_json() does
};

/// Each appends a value as PostgreSQL prints it with TimeZone UTC. Fractions lose trailing zeros; a
/// source in nanoseconds keeps up to nine digits.
void append_date(int64_t days_since_1970, std::string& to);
void append_time(int64_t ticks, TimeUnit unit, std::string& to);
/// A time of any length and sign: "-100:00:00.5".
void append_span(int64_t ticks, TimeUnit unit, std::string& to);
void append_timestamp(int64_t ticks, TimeUnit unit, bool utc, DateStyle style, std::string& to);
/// Months, days and microseconds in the style `postgres`: "1 year 2 mons -3 days +04:05:06.7".
void append_interval(int32_t months, int32_t days, int64_t micros, std::string& to);

}  // namespace pgsink::encode
