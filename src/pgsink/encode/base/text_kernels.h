#pragma once
// The two loops over every byte of text: check that it is plain ASCII, and copy it after its
// length. In a portable form, and with AVX2 or AVX-512 if the processor has them.

#include <string_view>

#include "pgsink/encode/base/field.h"

namespace pgsink::encode {

/// ViewReader gives the values of a block that are string views.
struct ViewReader {
  const std::string_view* views = nullptr;
  std::string_view operator[](size_t i) const { return views[i]; }
};

/// OffsetReader gives those that are offsets into a heap, from the block's first row on.
template <class Offset>
struct OffsetReader {
  const std::byte* offsets = nullptr;
  const char* heap = nullptr;
  Offset offset(size_t i) const { return load<Offset>(offsets + i * sizeof(Offset)); }
  std::string_view operator[](size_t i) const {
    const Offset from = offset(i);
    return {heap + from, static_cast<size_t>(offset(i + 1) - from)};
  }
};

/// TextForm says how values become fields.
struct TextForm {
  const uint8_t* valid = nullptr;  ///< One byte per row, 0 for NULL; null: no NULL.
  bool version = false;            ///< A byte 1 before the value: jsonb.
};

/// TextKernels are chosen once for an encoder.
struct TextKernels {
  /// Whether every byte is in 1 … 127; prefetches the memory after them.
  bool (*is_plain_ascii)(const char* text, size_t size);
  // Each stores length and value at rows[i] + offset and moves rows[i] after them. They return
  // false if a byte was not in 1 … 127, and sometimes also if all were.
  bool (*write_views)(const ViewReader& values, const TextForm& form, std::byte** rows,
                      size_t offset, size_t count);
  bool (*write_offsets32)(const OffsetReader<int32_t>& values, const TextForm& form,
                          std::byte** rows, size_t offset, size_t count);
  bool (*write_offsets64)(const OffsetReader<int64_t>& values, const TextForm& form,
                          std::byte** rows, size_t offset, size_t count);
  /// Adds to each row the size of its field, of which `head` bytes are not the value's, and returns
  /// the size of the longest value. Null: not on this processor.
  size_t (*add_sizes32)(const OffsetReader<int32_t>& values, const uint8_t* valid, size_t head,
                        size_t count, size_t* row_bytes);
};

const TextKernels& portable_text_kernels();
/// best_text_kernels are the fastest that this processor can run.
const TextKernels& best_text_kernels();

/// put_text_head stores the length and the other bytes before a value; returns the place after
/// them.
inline std::byte* put_text_head(std::byte* to, size_t size, bool version) {
  pgproto::store_be(to, static_cast<uint32_t>(size + (version ? 1 : 0)));
  to += kLengthBytes;
  if (version) *to++ = std::byte{1};
  return to;
}

}  // namespace pgsink::encode
