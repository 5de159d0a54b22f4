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

/// put_array_head stores the length and the header of an array of one dimension whose `count`
/// elements, none NULL, are fields of `width` bytes. Returns the place behind it.
// Server: array_recv(). int32 dimension count, flags (1: has NULLs), element OID; then for each
// dimension its length and lower bound; then the elements as fields.
inline std::byte* put_array_head(std::byte* to, pgproto::Oid element_oid, uint32_t count,
                                 uint32_t width) {
  constexpr uint32_t kHeaderBytes = 12;
  constexpr uint32_t kDimensionBytes = 8;
  if (count == 0) {
    pgproto::store_be(to, uint64_t{kHeaderBytes} << 32);  // no dimension
    pgproto::store_be(to + 8, uint64_t{element_oid});
    return to + 16;
  }
  const uint32_t bytes =
      kHeaderBytes + kDimensionBytes + count * (static_cast<uint32_t>(kLengthBytes) + width);
  pgproto::store_be(to, uint64_t{bytes} << 32 | 1);       // one dimension
  pgproto::store_be(to + 8, uint64_t{element_oid});       // no NULL
  pgproto::store_be(to + 16, uint64_t{count} << 32 | 1);  // lower bound 1
  return to + 24;
}

/// array_field writes lists; `element` is the codec from shape.element to target.parts[0].
CodecPointer array_field(const Target& target, const ArrayShape& shape, CodecPointer element);

}  // namespace pgsink::encode
