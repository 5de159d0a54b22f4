#pragma once
// Codecs of dates, times, timestamps, durations and intervals. A value that PostgreSQL cannot hold
// exactly (range, microseconds, the column's precision) is a fault; none saturates into infinity.
// What PostgreSQL would resolve by the session's TimeZone is resolved as UTC.

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

CodecPointer date_to_date(const Field& source, const Target& target);
CodecPointer date_to_timestamp(const Field& source, const Target& target);
CodecPointer timestamp_to_date(const Field& source, const Target& target);
CodecPointer timestamp_to_timestamp(const Field& source, const Target& target);
CodecPointer time_to_time(const Field& source, const Target& target);
CodecPointer time_to_timetz(const Field& source, const Target& target);
CodecPointer time_to_interval(const Field& source, const Target& target);
CodecPointer duration_to_interval(const Field& source, const Target& target);
CodecPointer interval_to_interval(const Field& source, const Target& target);

/// fraction_step is the number of microseconds between the values of a type with that modifier: 1
/// for timestamp, 1000 for timestamp(3).
int64_t fraction_step(int32_t type_modifier);

/// interval_fits says whether an interval column's fields and precision keep the value as it is.
/// Server: AdjustIntervalForTypmod().
bool interval_fits(int32_t months, int32_t days, int64_t micros, int32_t type_modifier);

/// adjust_interval cuts and rounds to an interval column's fields and precision, as the server
/// does. False if that overflows.
bool adjust_interval(int32_t& months, int32_t& days, int64_t& micros, int32_t type_modifier);

}  // namespace pgsink::encode
