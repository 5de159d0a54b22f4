#pragma once
// The long forms of dates and times: January 8, 1999 04:05 PM, 1999/01/08, 08-Jan-1999, J2451187,
// 1999.008, … Slower than parse_temporal.cc's reading of ISO 8601, and called where that fails.

#include <cstdint>
#include <string_view>

#include "pgsink/encode/parse/moment.h"

namespace pgsink::encode {

enum class LongForm : uint8_t {
  kValue,
  kNone,       ///< No form of PostgreSQL's.
  kDateOrder,  ///< The session's DateStyle says which number is the day.
  kZoneName,   ///< The session says what the name of a time zone means.
  kClock,      ///< now, today: the time at which the server reads it.
};

/// read_long_form reads a date, with a time perhaps, or (`time_only`) a time.
LongForm read_long_form(std::string_view text, bool time_only, Moment& moment);

}  // namespace pgsink::encode
