#pragma once
// RangeRule: divides the values of a key into ranges, one per partition. Pure.

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include <pgproto/bytes.h>
#include <pgproto/error.h>

#include "pgsink/encode/base/wire_type.h"

namespace pgsink {

using pgproto::Errc;
using pgproto::Error;
using pgproto::Result;
using pgproto::Status;

/// RangeSpan is a range of values, both ends included, as the server numbers them: integers as they
/// are, dates in days and timestamps in microseconds since 2000-01-01.
struct RangeSpan {
  int64_t first = 0, last = 0;

  bool contains(int64_t value) const { return first <= value && value <= last; }
  friend bool operator==(const RangeSpan&, const RangeSpan&) = default;
};

class RangeRule {
 public:
  /// `interval` is the option partition_interval, "" if it is not given. Fails with kOptionConflict
  /// if ranges of the type cannot be computed, or not with that interval.
  static Result<RangeRule> create(const encode::Target& target, std::string_view interval);

  bool is_time() const { return key_ != Key::kInteger; }
  /// The format that distinguishes the starts of any two ranges.
  std::string_view default_format() const { return default_format_; }

  /// load reads a value in binary form.
  int64_t load(pgproto::Bytes value) const;
  /// parse reads a value in text form, as the server prints it with DateStyle ISO.
  std::optional<int64_t> parse(std::string_view text) const;
  /// Whether a range can contain the value: not ±infinity.
  bool is_finite(int64_t value) const { return min_ <= value && value <= max_; }

  /// around returns the range of the rule that contains a finite value.
  RangeSpan around(int64_t value) const;

  /// The ends of a span as constants for FROM (…) and TO (…).
  std::string from_sql(const RangeSpan& span) const;
  std::string to_sql(const RangeSpan& span) const;
  /// The ends of a span in a format of strftime() that check_format() has accepted; "" prints
  /// numbers. An unbounded end is "min" or "max".
  std::string name_of_start(const RangeSpan& span, std::string_view format) const;
  std::string name_of_end(const RangeSpan& span, std::string_view format) const;
  /// Fails with kOptionValue at the first unknown conversion, naming the known ones.
  static Status check_format(std::string_view format);

 private:
  enum class Key : uint8_t { kInteger, kDate, kTimestamp, kTimestamptz };
  enum class Unit : uint8_t { kNumber, kHour, kDay, kWeek, kMonth, kYear };

  RangeRule() = default;
  RangeSpan around_days(int64_t day) const;
  int64_t day_of(int64_t value) const;
  std::string constant(int64_t value) const;
  std::string name(int64_t value, std::string_view format) const;

  encode::Target target_;
  Key key_ = Key::kInteger;
  Unit unit_ = Unit::kNumber;
  std::string_view default_format_;
  int64_t width_ = 0;  ///< For kNumber.
  size_t value_bytes_ = 0;
  int64_t min_ = 0, max_ = 0;
};

}  // namespace pgsink
