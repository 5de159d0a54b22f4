#pragma once
// The one table of which source becomes which target, and how.

#include <span>
#include <string>
#include <string_view>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"
#include "pgsink/encode/rows/source_class.h"

namespace pgsink::encode {

/// Conversion is one pair of the table.
struct Conversion {
  SourceClass source;
  TargetKind target;
  Result<CodecPointer> (*make)(const Field& source, const Target& target);
  std::string_view rule;  ///< For docs/reference/types.md: which values are rejected.
};

std::span<const Conversion> conversions();

/// make_codec chooses the codec of a pair. The error (kColumnType) says what would work.
Result<CodecPointer> make_codec(const Field& source, const Target& target);

}  // namespace pgsink::encode
