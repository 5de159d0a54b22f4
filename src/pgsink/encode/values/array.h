#pragma once
// Arrays: lists of any depth as arrays of PostgreSQL.

#include <array>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/base/wire_type.h"

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

/// array_bytes is the size of an array of one dimension, without length word, whose `count`
/// elements, none NULL, have `width` bytes.
// Server: array_recv(). int32 dimension count, flags (1: has NULLs), element OID; then for each
// dimension its length and lower bound; then the elements as fields.
inline uint32_t array_bytes(uint32_t count, uint32_t width) {
  constexpr uint32_t kHeaderBytes = 12;
  constexpr uint32_t kDimensionBytes = 8;
  if (count == 0) return kHeaderBytes;
  return kHeaderBytes + kDimensionBytes + count * (static_cast<uint32_t>(kLengthBytes) + width);
}

/// ArrayHead is what comes before the elements of such an array, length word included.
struct ArrayHead {
  std::array<uint64_t, 3> words{};  ///< In host order.
  size_t count = 0;                 ///< Of the words.
};

inline ArrayHead array_head(pgproto::Oid element_oid, uint32_t count, uint32_t width) {
  const uint32_t dimensions = count == 0 ? 0 : 1;
  const uint64_t length = array_bytes(count, width);
  return {{length << 32 | dimensions,
           element_oid,                 // no NULL
           uint64_t{count} << 32 | 1},  // lower bound 1
          size_t{2} + dimensions};
}

/// put_array_head stores it; returns the place after it.
inline std::byte* put_array_head(std::byte* to, const ArrayHead& head) {
  for (size_t i = 0; i < head.count; ++i)
    pgproto::store_be(to + i * sizeof(uint64_t), head.words[i]);
  return to + head.count * sizeof(uint64_t);
}

/// array_field writes lists; `element` is the codec from shape.element to target.parts[0].
CodecPointer array_field(const Target& target, const ArrayShape& shape, CodecPointer element);

}  // namespace pgsink::encode
