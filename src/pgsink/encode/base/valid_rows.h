#pragma once
// ValidRows: the rows of a block that are not NULL, as a separate block. The memory that a NULL
// dictionary entry or a NULL struct refers to is undefined and must not be read.

#include <array>

#include "pgsink/encode/base/field.h"

namespace pgsink::encode {

class ValidRows {
 public:
  /// Finds the NULLs; without any, block() is `block` itself.
  void begin(const ColumnView& column, const Block& block);

  bool all() const { return valid_ == nullptr; }
  const Block& block() const { return rows_; }
  /// Position in the whole block of a position in block().
  size_t position(size_t i) const { return all() ? i : positions_[i]; }
  bool is_valid(size_t position) const { return all() || valid_[position] != 0; }

  /// Writes NULL for the NULL rows among the first `count`, moves their cursors, and gathers the
  /// others' cursors, advanced by `offset`, whose number it returns.
  size_t gather(std::byte** rows, size_t offset, size_t count, std::byte** cursors);
  /// Puts gathered cursors back.
  void scatter(std::byte* const* cursors, size_t used, std::byte** rows) const;

 private:
  const uint8_t* valid_ = nullptr;
  Block rows_;
  std::array<uint8_t, kFlagBytes> valid_scratch_;
  std::array<uint16_t, kBlockRowsMax> positions_;
  std::array<uint32_t, kBlockRowsMax> indexes_;
};

}  // namespace pgsink::encode
