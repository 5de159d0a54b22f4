#pragma once
// Arrays: lists of any depth as arrays of PostgreSQL.

#include "pgsink/encode/field.h"
#include "pgsink/encode/target.h"

namespace pgsink::encode {

/// kArrayDimensionsMax is the server's MAXDIM.
inline constexpr size_t kArrayDimensionsMax = 6;

/// ArrayShape is how the nested lists of a source map to dimensions.
struct ArrayShape {
  std::vector<int32_t> widths;     ///< Field::width of each level, outermost first.
  const Field* element = nullptr;  ///< What the innermost lists hold.
};

/// array_shape counts the levels: lists of lists become dimensions, unless the element type takes
/// lists itself (JSON, a domain over an array). kColumnType above six.
Result<ArrayShape> array_shape(const Field& source, const Target& target);

/// array_field writes lists; `element` is the codec from shape.element to target.parts[0].
CodecPointer array_field(const Target& target, const ArrayShape& shape, CodecPointer element);

}  // namespace pgsink::encode
