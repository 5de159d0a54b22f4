#pragma once
// Rounding as PostgreSQL's assignment casts do it, for those who ask for it (ValueRules::rounds).

#include <cmath>
#include <cstdint>
#include <limits>

namespace pgsink::encode {

/// round_to_step makes a number of ticks a multiple of `step`, halves away from zero. False if that
/// overflows. Server: AdjustTimestampForTypmod(), AdjustIntervalForTypmod().
inline bool round_to_step(int64_t& ticks, int64_t step) {
  const int64_t rest = ticks % step;
  const int64_t magnitude = rest < 0 ? -rest : rest;
  ticks -= rest;
  if (magnitude < step - magnitude) return true;
  return !__builtin_add_overflow(ticks, rest < 0 ? -step : step, &ticks);
}

/// round_fraction makes microseconds of a fraction of a second, as the text of a time is read.
/// Server: ParseFractionalSecond().
inline int64_t round_fraction(double seconds) {
  return static_cast<int64_t>(std::rint(seconds * 1e6));
}

/// round_nanos makes microseconds of nanoseconds. They count forward from a whole second, as a
/// clock shows them.
inline bool round_nanos(int64_t nanos, int64_t& micros) {
  constexpr int64_t kNanosPerSecond = 1'000'000'000;
  const int64_t rest = nanos % kNanosPerSecond;
  const int64_t fraction = rest < 0 ? rest + kNanosPerSecond : rest;
  micros = (nanos - rest) / 1'000 - (rest < 0 ? 1'000'000 : 0);
  return !__builtin_add_overflow(micros, round_fraction(static_cast<double>(fraction) / 1e9),
                                 &micros);
}

/// round_span_nanos is round_nanos() for a span of time: a negative one is rounded as its positive.
inline int64_t round_span_nanos(int64_t nanos) {
  const int64_t whole = nanos / 1'000'000'000;
  const auto fraction = static_cast<double>(nanos % 1'000'000'000);
  return whole * 1'000'000 + round_fraction(fraction / 1e9);
}

}  // namespace pgsink::encode
