#pragma once
// The one table of which source can be written as which target, and how.

#include <span>
#include <string>
#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// SourceClass groups the kinds that are converted alike.
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

/// Conversion is one pair of the table.
struct Conversion {
  SourceClass source;
  TargetKind target;
  Result<CodecPointer> (*make)(const Field& source, const Target& target);
  std::string_view rule;  ///< For docs/reference/types.md: which values are rejected.
};

std::span<const Conversion> conversions();

/// source_class of a kind; a dictionary has the class of its values.
SourceClass source_class(const Field& field);
/// source_name is the type in users' terms: "timestamp[us, UTC]", "list<int32>".
std::string source_name(const Field& field);
std::string_view source_class_name(SourceClass source);

/// make_codec chooses the codec of a pair. The error (kColumnType) says what would work.
Result<CodecPointer> make_codec(const Field& source, const Target& target);

}  // namespace pgsink::encode
