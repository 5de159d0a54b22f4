#pragma once
// The long forms of intervals: 1.5 days, 1-2, 3 4:05:06, 1 y 10 mon, -1 day +02:03, … Slower than
// parse_interval.cc's reading of what PostgreSQL prints, and called where that fails.

#include <string_view>

#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/parse/interval_units.h"

namespace pgsink::encode {

enum class LongInterval : uint8_t {
  kValue,
  kNone,    ///< PostgreSQL does not take it.
  kRounds,  ///< It would round it, or forget a part; the target's rules do not allow that.
};

LongInterval read_long_interval(std::string_view text, const Target& target, IntervalSum& sum);

}  // namespace pgsink::encode
