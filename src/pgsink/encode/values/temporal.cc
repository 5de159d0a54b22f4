#include "pgsink/encode/values/temporal.h"

#include <limits>

#include "pgsink/encode/base/fixed.h"
#include "pgsink/encode/base/loaders.h"
#include "pgsink/encode/values/calendar.h"
#include "pgsink/encode/values/rounding.h"

namespace pgsink::encode {
namespace {

constexpr int64_t kInt64Max = std::numeric_limits<int64_t>::max();
constexpr int64_t kInt64Min = std::numeric_limits<int64_t>::min();
constexpr int32_t kInt32Max = std::numeric_limits<int32_t>::max();
constexpr int32_t kInt32Min = std::numeric_limits<int32_t>::min();

/// Rescale converts ticks of one unit to another: × multiplier ÷ divisor, without remainder.
struct Rescale {
  int64_t multiplier = 1;
  int64_t divisor = 1;
  bool rounds = false;

  bool operator()(int64_t value, int64_t& to) const {
    if (divisor != 1 && rounds) return round_nanos(value, to);
    if (divisor != 1) {
      to = value / divisor;
      return to * divisor == value;
    }
    return !__builtin_mul_overflow(value, multiplier, &to);
  }
};

Rescale to_micros(TimeUnit unit, const Target& target) {
  switch (unit) {
    case TimeUnit::kSecond:
      return {1'000'000, 1};
    case TimeUnit::kMilli:
      return {1'000, 1};
    case TimeUnit::kMicro:
      return {1, 1};
    case TimeUnit::kNano:
      break;
  }
  return {1, 1'000, target.rules.rounds};
}

/// A number of microseconds as a type of that precision holds it.
struct Precision {
  int64_t step = 1;
  bool rounds = false;

  explicit Precision(const Target& target)
      : step(fraction_step(target.type_modifier)), rounds(target.rules.rounds) {}
  bool operator()(int64_t& micros) const {
    if (step == 1) return true;
    return rounds ? round_to_step(micros, step) : micros % step == 0;
  }
};

/// Sentinel recognizes DuckDB's infinities, if the field has them.
template <class T>
struct Sentinel {
  bool on = false;
  bool infinite(T value) const {
    constexpr T kMax = std::numeric_limits<T>::max();
    return on && (value == kMax || value == -kMax);
  }
};

bool micros_in_range(int64_t since_2000) {
  constexpr int64_t kMin = kTimestampMinMicros - kEpochMicros;
  constexpr int64_t kEnd = (kTimestampEndDays - kEpochDays) * kMicrosPerDay;
  return since_2000 >= kMin && since_2000 < kEnd;
}

Fault timestamp_fault(const std::string& shown, int64_t step) {
  constexpr int64_t kMicrosecond = 1;
  if (step != kMicrosecond) {
    int places = 6;
    for (int64_t n = step; n > 1; n /= 10) --places;
    return {sqlstate::kDatetimeOverflow,
            shown + " is outside the type's range or would be rounded to its " +
                std::to_string(places) + " fractional digits"};
  }
  return {sqlstate::kDatetimeOverflow,
          shown +
              " is outside the type's range (4714-11-24 BC to 294276-12-31) or not a whole "
              "number of microseconds"};
}

std::string span_shown(int64_t ticks, TimeUnit unit) {
  std::string text;
  append_span(ticks, unit, text);
  return text;
}

/// Description in units, for values that no calendar can show.
std::string ticks_shown(int64_t ticks, TimeUnit unit) {
  std::string text;
  append_timestamp(ticks, unit, false, DateStyle::kText, text);
  return text;
}

struct TimestampToTimestamp {
  using Source = int64_t;
  using Lane = int64_t;
  static constexpr bool kDirect = true;
  static constexpr int64_t kAddend = -kEpochMicros;

  TimeUnit unit = TimeUnit::kMicro;
  Rescale rescale;
  Precision precision;
  Sentinel<int64_t> sentinel;
  bool plain = false;  ///< Microseconds, any precision.

  // To about the year 139,000; later or infinite values are left to convert().
  static constexpr int64_t kDirectMin = kTimestampMinMicros;
  static constexpr int kDirectBits = 62;
  bool direct() const { return plain; }
  bool convert(int64_t value, int64_t& lane) const {
    if (sentinel.infinite(value)) {
      lane = value > 0 ? kInt64Max : kInt64Min;
      return true;
    }
    return to_lane(value, lane) && precision(lane) && micros_in_range(lane);
  }
  /// Changes the epoch in the coarser of the two units, so that neither step overflows needlessly.
  bool to_lane(int64_t value, int64_t& lane) const {
    if (rescale.divisor != 1) return rescale(value, lane) && move_epoch(lane, 1, lane);
    int64_t ticks = 0;
    return move_epoch(value, rescale.multiplier, ticks) && rescale(ticks, lane);
  }
  static bool move_epoch(int64_t value, int64_t micros_per_tick, int64_t& moved) {
    return !__builtin_sub_overflow(value, kEpochMicros / micros_per_tick, &moved);
  }
  Fault fault(int64_t value) const {
    return timestamp_fault(ticks_shown(value, unit), precision.step);
  }
};

/// Dates in 32 bits count days; in 64 bits milliseconds or days.
template <class S>
constexpr int64_t kDateUnitsPerDay = sizeof(S) == 8 ? kSecondsPerDay * 1000 : 1;

std::string date_shown(int64_t value, int64_t units_per_day) {
  if (units_per_day != 1) return ticks_shown(value, TimeUnit::kMilli);
  std::string shown;
  append_date(value, shown);
  return shown;
}

template <class S, int64_t kUnitsPerDay = kDateUnitsPerDay<S>>
struct DateToDate {
  using Source = S;
  using Lane = int32_t;
  static constexpr bool kDirect = sizeof(S) == 4;
  static constexpr int64_t kAddend = -kEpochDays;

  Sentinel<S> sentinel;
  bool cuts = false;  ///< What a date in milliseconds has of a day is left out.

  // To about the year 2,900,000; later or infinite values are left to convert().
  static constexpr int64_t kDirectMin = kDateMinDays;
  static constexpr int kDirectBits = 30;
  bool direct() const { return true; }
  bool convert(S value, int32_t& lane) const {
    if (sentinel.infinite(value)) {
      lane = value > 0 ? kInt32Max : kInt32Min;
      return true;
    }
    const bool whole = value % kUnitsPerDay == 0;
    const int64_t days = value / kUnitsPerDay - (!whole && value < 0 ? 1 : 0);
    if ((!whole && !cuts) || days < kDateMinDays || days >= kDateEndDays) return false;
    lane = static_cast<int32_t>(days - kEpochDays);
    return true;
  }
  Fault fault(S value) const {
    return {sqlstate::kDatetimeOverflow,
            date_shown(value, kUnitsPerDay) +
                " is outside date's range (4714-11-24 BC to 5874897-12-31) or not a whole day"};
  }
};

template <class S, int64_t kUnitsPerDay = kDateUnitsPerDay<S>>
struct DateToTimestamp {
  using Source = S;
  using Lane = int64_t;
  Sentinel<S> sentinel;

  bool convert(S value, int64_t& lane) const {
    if (sentinel.infinite(value)) {
      lane = value > 0 ? kInt64Max : kInt64Min;
      return true;
    }
    // The epoch first: counted from 1970, the last years of the range do not fit.
    constexpr int64_t kTicksToMicros = kMicrosPerDay / kUnitsPerDay;
    int64_t ticks = 0;
    return !__builtin_sub_overflow(int64_t{value}, kEpochMicros / kTicksToMicros, &ticks) &&
           !__builtin_mul_overflow(ticks, kTicksToMicros, &lane) && micros_in_range(lane);
  }
  Fault fault(S value) const { return timestamp_fault(date_shown(value, kUnitsPerDay), 1); }
};

struct TimestampToDate {
  using Source = int64_t;
  using Lane = int32_t;
  TimeUnit unit = TimeUnit::kMicro;
  int64_t ticks_per_day = kMicrosPerDay;
  Sentinel<int64_t> sentinel;
  bool cuts = false;  ///< The time of day is left out.

  bool convert(int64_t value, int32_t& lane) const {
    if (sentinel.infinite(value)) {
      lane = value > 0 ? kInt32Max : kInt32Min;
      return true;
    }
    int64_t days = value / ticks_per_day;
    const bool whole = days * ticks_per_day == value;
    if (!whole && value < 0) --days;
    if ((!whole && !cuts) || days < kDateMinDays || days >= kDateEndDays) return false;
    lane = static_cast<int32_t>(days - kEpochDays);
    return true;
  }
  Fault fault(int64_t value) const {
    return {sqlstate::kDatetimeOverflow,
            ticks_shown(value, unit) + " is not a day at midnight or outside date's range"};
  }
};

template <class S>
struct TimeToTime {
  using Source = S;
  using Lane = int64_t;
  TimeUnit unit = TimeUnit::kMicro;
  Rescale rescale;
  Precision precision;

  bool convert(S value, int64_t& lane) const {
    return rescale(int64_t{value}, lane) && precision(lane) && lane >= 0 && lane <= kMicrosPerDay;
  }
  Fault fault(S value) const {
    return {sqlstate::kDatetimeOverflow,
            span_shown(value, unit) + " is outside 00:00:00 to 24:00:00, or would be rounded"};
  }
};

struct WireTimetz {
  std::array<std::byte, 12> bytes;
};

template <class S>
struct TimeToTimetz {
  using Source = S;
  using Lane = WireTimetz;
  TimeToTime<S> time;

  bool convert(S value, WireTimetz& lane) const {
    int64_t micros = 0;
    const bool ok = time.convert(value, micros);
    pgproto::store_be(lane.bytes.data(), micros);
    pgproto::store_be(lane.bytes.data() + 8, int32_t{0});  // the zone, seconds west of UTC
    return ok;
  }
  Fault fault(S value) const { return time.fault(value); }
};

struct WireInterval {
  std::array<std::byte, 16> bytes;
  void set(int32_t months, int32_t days, int64_t micros) {
    pgproto::store_be(bytes.data(), micros);
    pgproto::store_be(bytes.data() + 8, days);
    pgproto::store_be(bytes.data() + 12, months);
  }
};

/// An interval type with its fields and precision.
struct IntervalType {
  int32_t modifier = -1;
  bool rounds = false;

  explicit IntervalType(const Target& target)
      : modifier(target.type_modifier), rounds(target.rules.rounds) {}
  bool put(int32_t months, int32_t days, int64_t micros, WireInterval& lane) const {
    if (rounds && !adjust_interval(months, days, micros, modifier)) return false;
    lane.set(months, days, micros);
    return interval_fits(months, days, micros, modifier);
  }
};

Fault interval_fault(const std::string& shown) {
  return {sqlstate::kIntervalOverflow,
          shown +
              " is outside interval's range, not a whole number of microseconds, or not what "
              "the column's fields and precision can hold"};
}

template <class S>
struct TicksToInterval {
  using Source = S;
  using Lane = WireInterval;
  TimeUnit unit = TimeUnit::kMicro;
  Rescale rescale;
  IntervalType type;

  bool convert(S value, WireInterval& lane) const {
    if (rescale.rounds) return type.put(0, 0, round_span_nanos(value), lane);
    int64_t micros = 0;
    return rescale(int64_t{value}, micros) && type.put(0, 0, micros, lane);
  }
  Fault fault(S value) const { return interval_fault(span_shown(value, unit)); }
};

struct MonthsToInterval {
  using Source = int32_t;
  using Lane = WireInterval;
  IntervalType type;
  bool convert(int32_t months, WireInterval& lane) const { return type.put(months, 0, 0, lane); }
  Fault fault(int32_t months) const { return interval_fault(std::to_string(months) + " months"); }
};

struct DayTime {
  int32_t days, millis;
};
struct DayTimeToInterval {
  using Source = DayTime;
  using Lane = WireInterval;
  IntervalType type;
  bool convert(DayTime value, WireInterval& lane) const {
    return type.put(0, value.days, int64_t{value.millis} * 1000, lane);
  }
  Fault fault(DayTime value) const {
    return interval_fault(std::to_string(value.days) + " days " + std::to_string(value.millis) +
                          " ms");
  }
};

struct MonthDayNano {
  int32_t months, days;
  int64_t nanos;
};
struct MonthDayNanoToInterval {
  using Source = MonthDayNano;
  using Lane = WireInterval;
  IntervalType type;
  bool convert(MonthDayNano value, WireInterval& lane) const {
    const int64_t micros = type.rounds ? round_span_nanos(value.nanos) : value.nanos / 1000;
    return type.put(value.months, value.days, micros, lane) &&
           (type.rounds || micros * 1000 == value.nanos);
  }
  Fault fault(MonthDayNano value) const {
    return interval_fault(std::to_string(value.months) + " months " + std::to_string(value.days) +
                          " days " + std::to_string(value.nanos) + " ns");
  }
};

struct MonthDayMicro {
  int32_t months, days;
  int64_t micros;
};
struct MonthDayMicroToInterval {
  using Source = MonthDayMicro;
  using Lane = WireInterval;
  IntervalType type;
  bool convert(MonthDayMicro value, WireInterval& lane) const {
    return type.put(value.months, value.days, value.micros, lane);
  }
  Fault fault(MonthDayMicro value) const {
    return interval_fault(std::to_string(value.months) + " months " + std::to_string(value.days) +
                          " days " + std::to_string(value.micros) + " µs");
  }
};

template <class Op>
CodecPointer temporal_codec(Op op) {
  return std::make_unique<ConvertField<Op>>(op);
}

}  // namespace

int64_t fraction_step(int32_t type_modifier) {
  constexpr int32_t kPlacesMax = 6;
  int64_t step = 1;
  if (type_modifier < 0) return step;
  for (int32_t places = type_modifier; places < kPlacesMax; ++places) step *= 10;
  return step;
}

bool interval_fits(int32_t months, int32_t days, int64_t micros, int32_t type_modifier) {
  // A triple of only INT64_MAX/MIN means infinity from PostgreSQL 17 on; no source has one.
  if (months == kInt32Max && days == kInt32Max && micros == kInt64Max) return false;
  if (months == kInt32Min && days == kInt32Min && micros == kInt64Min) return false;
  if (type_modifier < 0) return true;
  int32_t kept_months = months, kept_days = days;
  int64_t kept_micros = micros;
  return adjust_interval(kept_months, kept_days, kept_micros, type_modifier) &&
         kept_months == months && kept_days == days && kept_micros == micros;
}

bool adjust_interval(int32_t& months, int32_t& days, int64_t& micros, int32_t type_modifier) {
  if (type_modifier < 0) return true;
  // Source: src/include/utils/timestamp.h, INTERVAL_MASK; src/include/utils/datetime.h.
  constexpr int32_t kYear = 1 << 2, kDay = 1 << 3, kHour = 1 << 10, kMinute = 1 << 11,
                    kSecond = 1 << 12, kFullRange = 0x7fff;
  const int32_t range = (type_modifier >> 16) & kFullRange;
  const int32_t precision = type_modifier & 0xffff;
  constexpr int64_t kMicrosPerMinute = 60 * kMicrosPerSecond;
  // Fields to the right of the last one named are cut off, those to the left remain.
  if (range != kFullRange && (range & kSecond) == 0) {
    const bool has_days = (range & (kDay | kHour | kMinute)) != 0;
    if (range == kYear) months -= months % 12;
    if (!has_days) days = 0;
    if ((range & kMinute) != 0) {
      micros -= micros % kMicrosPerMinute;
    } else if ((range & kHour) != 0) {
      micros -= micros % (60 * kMicrosPerMinute);
    } else {
      micros = 0;
    }
  }
  constexpr int32_t kFullPrecision = 0xffff;
  return precision == kFullPrecision || precision >= 6 ||
         round_to_step(micros, fraction_step(precision));
}

CodecPointer date_to_date(const Field& source, const Target& target) {
  if (source.kind == ColumnKind::kDate32) {
    return temporal_codec(DateToDate<int32_t>{{source.infinities}});
  }
  if (source.kind == ColumnKind::kDays64) {
    return temporal_codec(DateToDate<int64_t, 1>{{source.infinities}});
  }
  return temporal_codec(DateToDate<int64_t>{{source.infinities}, target.rules.rounds});
}

CodecPointer date_to_timestamp(const Field& source, const Target&) {
  if (source.kind == ColumnKind::kDate32) {
    return temporal_codec(DateToTimestamp<int32_t>{{source.infinities}});
  }
  if (source.kind == ColumnKind::kDays64) {
    return temporal_codec(DateToTimestamp<int64_t, 1>{{source.infinities}});
  }
  return temporal_codec(DateToTimestamp<int64_t>{{source.infinities}});
}

CodecPointer timestamp_to_date(const Field& source, const Target& target) {
  TimestampToDate op;
  op.cuts = target.rules.rounds;
  op.unit = source.unit;
  op.ticks_per_day = kSecondsPerDay * ticks_per_second(source.unit);
  op.sentinel.on = source.infinities;
  return temporal_codec(op);
}

CodecPointer timestamp_to_timestamp(const Field& source, const Target& target) {
  TimestampToTimestamp op{.unit = source.unit,
                          .rescale = to_micros(source.unit, target),
                          .precision = Precision(target),
                          .sentinel = {source.infinities}};
  op.plain = source.unit == TimeUnit::kMicro && op.precision.step == 1;
  return temporal_codec(op);
}

CodecPointer time_to_time(const Field& source, const Target& target) {
  const Rescale rescale = to_micros(source.unit, target);
  const Precision precision(target);
  if (source.kind == ColumnKind::kTime32) {
    return temporal_codec(TimeToTime<int32_t>{source.unit, rescale, precision});
  }
  return temporal_codec(TimeToTime<int64_t>{source.unit, rescale, precision});
}

CodecPointer time_to_timetz(const Field& source, const Target& target) {
  const Rescale rescale = to_micros(source.unit, target);
  const Precision precision(target);
  if (source.kind == ColumnKind::kTime32) {
    return temporal_codec(TimeToTimetz<int32_t>{{source.unit, rescale, precision}});
  }
  return temporal_codec(TimeToTimetz<int64_t>{{source.unit, rescale, precision}});
}

CodecPointer time_to_interval(const Field& source, const Target& target) {
  const Rescale rescale = to_micros(source.unit, target);
  if (source.kind == ColumnKind::kTime32) {
    return temporal_codec(TicksToInterval<int32_t>{source.unit, rescale, IntervalType(target)});
  }
  return temporal_codec(TicksToInterval<int64_t>{source.unit, rescale, IntervalType(target)});
}

CodecPointer duration_to_interval(const Field& source, const Target& target) {
  return temporal_codec(
      TicksToInterval<int64_t>{source.unit, to_micros(source.unit, target), IntervalType(target)});
}

CodecPointer interval_to_interval(const Field& source, const Target& target) {
  switch (source.kind) {
    case ColumnKind::kIntervalMonths:
      return temporal_codec(MonthsToInterval{IntervalType(target)});
    case ColumnKind::kIntervalDayTime:
      return temporal_codec(DayTimeToInterval{IntervalType(target)});
    case ColumnKind::kIntervalMonthDayMicro:
      return temporal_codec(MonthDayMicroToInterval{IntervalType(target)});
    default:
      break;
  }
  PGPROTO_ASSERT(source.kind == ColumnKind::kIntervalMonthDayNano);
  return temporal_codec(MonthDayNanoToInterval{IntervalType(target)});
}

}  // namespace pgsink::encode
