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

/// put_array_head stores length word and header of such an array; returns the place behind.
inline std::byte* put_array_head(std::byte* to, pgproto::Oid element_oid, uint32_t count,
                                 uint32_t width) {
  const uint32_t dimensions = count == 0 ? 0 : 1;
  pgproto::store_be(to, uint64_t{array_bytes(count, width)} << 32 | dimensions);
  pgproto::store_be(to + 8, uint64_t{element_oid});  // no NULL
  if (count == 0) return to + 16;
  pgproto::store_be(to + 16, uint64_t{count} << 32 | 1);  // lower bound 1
  return to + 24;
}

/// array_field writes lists; `element` is the codec from shape.element to target.parts[0].
CodecPointer array_field(const Target& target, const ArrayShape& shape, CodecPointer element);

}  // namespace pgsink::encode
