#pragma once
// Moment: the parts of a text of date and time, and the fraction of its seconds.

#include <charconv>
#include <cstdint>
#include <string>
#include <string_view>

#include "pgsink/encode/values/calendar.h"
#include "pgsink/encode/values/rounding.h"

namespace pgsink::encode {

struct Moment {
  Civil date;
  int64_t micros = 0;   ///< Of the day; up to 24:00:00.
  bool rounds = false;  ///< More than six fractional digits.
  bool has_time = false;
  int64_t zone_seconds = 0;  ///< East of UTC.
};

/// second_fraction makes microseconds of the digits after a second's decimal point; `rounds` says
/// whether those of them that are not zero are more than six.
inline int64_t second_fraction(std::string_view digits, bool& rounds) {
  constexpr size_t kPlaces = 6;
  rounds =
      digits.size() > kPlaces && digits.find_first_not_of('0', kPlaces) != std::string_view::npos;
  if (rounds) {
    const std::string text = "0." + std::string(digits);
    double fraction = 0;
    std::from_chars(text.data(), text.data() + text.size(), fraction);
    return round_fraction(fraction);
  }
  int64_t micros = 0;
  for (size_t i = 0; i < kPlaces; ++i) {
    micros = micros * 10 + (i < digits.size() ? digits[i] - '0' : 0);
  }
  return micros;
}

/// has_bare_point says whether a text has a decimal point that no digit follows, in a number or a
/// time ("04:05:06."). Servers before 15 refuse such texts.
inline bool has_bare_point(std::string_view text, bool only_in_times) {
  const size_t from = only_in_times ? text.find(':') : 0;
  if (from == std::string_view::npos) return false;
  for (size_t at = text.find('.', from); at != std::string_view::npos;
       at = text.find('.', at + 1)) {
    const char next = at + 1 < text.size() ? text[at + 1] : ' ';
    if (next < '0' || next > '9') return true;
  }
  return false;
}

}  // namespace pgsink::encode
