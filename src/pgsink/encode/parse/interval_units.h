#pragma once
// The units of an interval, and the sum of its parts.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <iterator>
#include <string_view>

#include "pgsink/encode/parse/text_reader.h"
#include "pgsink/encode/values/calendar.h"

namespace pgsink::encode {

/// One of the three numbers that an interval consists of.
enum class Part : uint8_t { kMonths, kDays, kMicros };

struct Unit {
  std::string_view name;
  Part part;
  int64_t factor;
};

inline constexpr int64_t kMinute = 60 * kMicrosPerSecond;
inline constexpr int64_t kHour = 60 * kMinute;

// Server: deltatktbl in datetime.c, which tells words by their first ten letters.
inline constexpr Unit kUnits[] = {
    {"y", Part::kMonths, 12},
    {"yr", Part::kMonths, 12},
    {"yrs", Part::kMonths, 12},
    {"year", Part::kMonths, 12},
    {"years", Part::kMonths, 12},
    {"mon", Part::kMonths, 1},
    {"mons", Part::kMonths, 1},
    {"month", Part::kMonths, 1},
    {"months", Part::kMonths, 1},
    {"dec", Part::kMonths, 120},
    {"decs", Part::kMonths, 120},
    {"decade", Part::kMonths, 120},
    {"decades", Part::kMonths, 120},
    {"c", Part::kMonths, 1200},
    {"cent", Part::kMonths, 1200},
    {"century", Part::kMonths, 1200},
    {"centuries", Part::kMonths, 1200},
    {"mil", Part::kMonths, 12'000},
    {"mils", Part::kMonths, 12'000},
    {"millennia", Part::kMonths, 12'000},
    {"millennium", Part::kMonths, 12'000},
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
    {"millisecon", Part::kMicros, 1000},
    {"us", Part::kMicros, 1},
    {"usec", Part::kMicros, 1},
    {"usecs", Part::kMicros, 1},
    {"microsecon", Part::kMicros, 1},
};

/// One bit for each unit, whatever its name.
inline uint64_t unit_bit(Part part, int64_t factor) {
  uint64_t bit = 1;
  static_assert(std::size(kUnits) <= 64);
  for (const Unit& unit : kUnits) {
    if (unit.part == part && unit.factor == factor) break;
    bit <<= 1;
  }
  return bit;
}

inline const Unit* find_unit(std::string_view name) {
  constexpr size_t kSignificant = 10;
  name = name.substr(0, kSignificant);
  const Unit* const found = std::ranges::find_if(kUnits, [&](const Unit& unit) {
    return std::ranges::equal(name, unit.name,
                              [](char a, char b) { return TextReader::lower(a) == b; });
  });
  return found == std::end(kUnits) ? nullptr : found;
}

/// IntervalSum adds up the parts of an interval; false is an overflow.
struct IntervalSum {
  int64_t months = 0;
  int64_t days = 0;
  int64_t micros = 0;

  int64_t& of(Part part) {
    return part == Part::kMonths ? months : part == Part::kDays ? days : micros;
  }

  /// Adds `whole` and `fraction` (of the same sign) units. The fraction becomes smaller units as on
  /// the server: of years months, of months (of 30 days) and weeks days and time, of days time.
  /// `exact` becomes false if that rounds.
  bool add(Part part, int64_t factor, int64_t whole, double fraction, bool& exact) {
    int64_t amount = 0;
    int64_t& to = of(part);
    if (__builtin_mul_overflow(whole, factor, &amount) || __builtin_add_overflow(to, amount, &to)) {
      return false;
    }
    const auto scaled = fraction * static_cast<double>(factor);
    if (part == Part::kMonths && factor > 1) {
      const double rounded = std::rint(scaled);
      exact = exact && std::abs(scaled - rounded) < 1e-9;
      return !__builtin_add_overflow(months, static_cast<int64_t>(rounded), &months);
    }
    if (part == Part::kMicros) return add_micros(scaled, exact);
    constexpr double kDaysPerMonth = 30;
    const double spread = part == Part::kMonths ? fraction * kDaysPerMonth : scaled;
    const auto whole_days = factor == 1 && part == Part::kDays ? 0 : static_cast<int64_t>(spread);
    return !__builtin_add_overflow(days, whole_days, &days) &&
           add_micros(
               (spread - static_cast<double>(whole_days)) * static_cast<double>(kMicrosPerDay),
               exact);
  }

  bool negate() {
    return !__builtin_sub_overflow(int64_t{0}, months, &months) &&
           !__builtin_sub_overflow(int64_t{0}, days, &days) &&
           !__builtin_sub_overflow(int64_t{0}, micros, &micros);
  }

  /// Halves toward zero. Server: AdjustFractMicroseconds().
  static int64_t round_half_down(double micros) {
    const auto whole = static_cast<int64_t>(micros);
    const double rest = micros - static_cast<double>(whole);
    return whole + (rest > 0.5 ? 1 : rest < -0.5 ? -1 : 0);
  }

 private:
  bool add_micros(double amount, bool& exact) {
    constexpr double kError = 1e-3;  // Of the fraction, times the microseconds of a day.
    exact = exact && std::abs(amount - std::rint(amount)) < kError;
    return !__builtin_add_overflow(micros, round_half_down(amount), &micros);
  }
};

}  // namespace pgsink::encode
