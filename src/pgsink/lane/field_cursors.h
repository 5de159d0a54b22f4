#pragma once
// FieldCursors takes the columns of ColumnArrays apart into rows.

#include <vector>

#include <pgproto/session.h>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/rows/column_arrays.h"

namespace pgsink {

class FieldCursors {
 public:
  /// Valid until the next append() or clear() of the arrays.
  FieldCursors(const ColumnArrays& arrays, size_t columns) {
    for (size_t i = 0; i < columns; ++i) fields_.push_back(arrays.fields(i));
  }
  /// Puts the fields of the next row into `row`. Returns their bytes.
  size_t next(std::vector<pgproto::Session::Parameter>& row) {
    constexpr int16_t kBinary = 1;
    size_t total = 0;
    for (size_t i = 0; i < fields_.size(); ++i) {
      const auto length = pgproto::load_be<int32_t>(fields_[i].data());
      fields_[i] = fields_[i].subspan(encode::kLengthBytes);
      row[i] = {.value = std::nullopt, .format = kBinary};
      if (length < 0) continue;
      const auto size = static_cast<size_t>(length);
      row[i].value = fields_[i].first(size);
      fields_[i] = fields_[i].subspan(size);
      total += size;
    }
    return total;
  }

 private:
  std::vector<pgproto::Bytes> fields_;
};

/// Whether the field of a change column is that letter.
inline bool is_change(const pgproto::Session::Parameter& change, char letter) {
  return change.value && pgproto::as_text(*change.value) == std::string_view(&letter, 1);
}

}  // namespace pgsink
