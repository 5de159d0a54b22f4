#pragma once
// What a column of the input is, as conversions and messages see it.

#include <cstdint>
#include <string>
#include <string_view>

#include <pgsink/record_batch.h>

namespace pgsink::encode {

/// SourceClass groups the kinds that convert alike.
enum class SourceClass : uint8_t {
  kNull,
  kBool,
  kInteger,
  kFloat,
  kDecimal,
  kDate,
  kTime,
  kTimestamp,
  kDuration,
  kInterval,
  kText,
  kBinary,
  kUuid,
  kList,
  kStruct,
  kMap,
};

/// source_class of a kind; a dictionary has that of its values.
SourceClass source_class(const Field& field);
/// source_name is the type as a user knows it: "timestamp[us, UTC]", "list<int32>".
std::string source_name(const Field& field);
std::string_view source_class_name(SourceClass source);

}  // namespace pgsink::encode
