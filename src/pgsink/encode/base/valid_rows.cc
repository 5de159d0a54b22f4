#include "pgsink/encode/base/valid_rows.h"

namespace pgsink::encode {

void ValidRows::begin(const ColumnView& column, const Block& block) {
  valid_ = load_validity(column, block, valid_scratch_.data());
  rows_ = block;
  if (all()) return;
  size_t count = 0;
  for (size_t i = 0; i < block.count; ++i) {
    if (valid_[i] == 0) continue;
    positions_[count] = static_cast<uint16_t>(i);
    indexes_[count++] = static_cast<uint32_t>(block.row(i));
  }
  rows_ = {0, count, indexes_.data()};
}

size_t ValidRows::gather(std::byte** rows, size_t offset, size_t count, std::byte** cursors) {
  size_t used = 0;
  for (size_t i = 0; i < count; ++i) {
    if (is_valid(i)) {
      cursors[used++] = rows[i] + offset;
    } else {
      store<uint32_t>(rows[i] + offset, ~uint32_t{0});
      rows[i] += offset + kLengthBytes;
    }
  }
  return used;
}

void ValidRows::scatter(std::byte* const* cursors, size_t used, std::byte** rows) const {
  for (size_t i = 0; i < used; ++i) rows[position(i)] = cursors[i];
}

}  // namespace pgsink::encode
