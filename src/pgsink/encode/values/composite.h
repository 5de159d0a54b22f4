#pragma once
// Composite values: structs as rows of a composite type.

#include <vector>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

namespace pgsink::encode {

/// match_attributes says which field of a struct goes to each attribute: by name if the names are
/// the same (ignoring case), by position if none of them is (an unnamed ROW(…)). The error names
/// what does not match; nothing is guessed.
Result<std::vector<size_t>> match_attributes(const Field& source, const Target& target);

/// composite_field writes a struct; `attributes` are the codecs of target.parts, `fields` from
/// match_attributes().
CodecPointer composite_field(const Target& target, std::vector<size_t> fields,
                             std::vector<CodecPointer> attributes);

}  // namespace pgsink::encode
