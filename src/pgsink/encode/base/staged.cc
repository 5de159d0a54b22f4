#include "pgsink/encode/base/staged.h"

#include "pgsink/encode/base/copy_bytes.h"

namespace pgsink::encode {

void StagedBase::begin_block(const ColumnView& column, const Block& block) {
  valid_ = load_validity(column, block, valid_scratch_.data());
  staging_.clear();
  ends_[0] = 0;
  part_.form = RowPart::Form::kStaged;
  part_.ends = ends_.data();
}

void StagedBase::write_strided(std::byte* to, size_t stride, size_t count, bool) {
  for (size_t i = 0; i < count; ++i) {
    copy_bytes(to + i * stride, staging_.data() + ends_[i], ends_[i + 1] - ends_[i]);
  }
}

void StagedBase::write_at(std::byte* const* rows, size_t offset, size_t count, bool) {
  for (size_t i = 0; i < count; ++i) {
    copy_bytes(rows[i] + offset, staging_.data() + ends_[i], ends_[i + 1] - ends_[i]);
  }
}

void StagedBase::write_moving(std::byte** rows, size_t offset, size_t count) {
  for (size_t i = 0; i < count; ++i) {
    const size_t bytes = ends_[i + 1] - ends_[i];
    std::byte* const to = rows[i] + offset;
    copy_bytes(to, staging_.data() + ends_[i], bytes);
    rows[i] = to + bytes;
  }
}

}  // namespace pgsink::encode
