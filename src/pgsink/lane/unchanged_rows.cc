#include "pgsink/lane/unchanged_rows.h"

#include <algorithm>
#include <array>
#include <utility>

#include "pgsink/encode/base/field.h"
#include "pgsink/encode/rows/changes.h"
#include "pgsink/lane/field_cursors.h"

namespace pgsink {

Result<std::optional<UnchangedRows>> UnchangedRows::create(const Plan& plan) {
  if (!plan.has_unchanged()) return std::nullopt;
  auto row = ColumnArrays::create(plan.columns, plan.types);
  if (!row) return fail(row.error());
  std::vector<size_t> keys;
  for (const std::string& key : plan.keys) {
    const auto at = std::ranges::find(plan.columns, key, &EncodeColumn::target_name);
    keys.push_back(static_cast<size_t>(at - plan.columns.begin()));
  }
  const size_t unchanged = plan.statements.unchanged;
  return UnchangedRows(std::move(*row), std::move(keys), plan.columns[unchanged].source_index,
                       unchanged, plan.columns.size());
}

/// Whether the row names columns.
bool UnchangedRows::is_named(const RecordBatch& batch, size_t row) const {
  if (row >= batch.row_count()) return false;
  std::array<uint8_t, encode::kFlagBytes> scratch;
  const uint8_t* const valid =
      encode::load_validity(batch.columns()[source_], {.first = row, .count = 1}, scratch.data());
  return valid == nullptr || valid[0] != 0;
}

bool UnchangedRows::any(const RecordBatch& batch, RowRange rows) const {
  for (size_t i = rows.begin; i < rows.begin + rows.count; ++i) {
    const size_t row = rows.indexes != nullptr ? rows.indexes[i] : i;
    if (is_named(batch, row) || is_named(batch, row + 1)) return true;
  }
  return false;
}

/// Whether the row got another key. Then fields_ holds it.
bool UnchangedRows::is_moved(const RecordBatch& batch, size_t row) {
  if (!is_named(batch, row)) return false;
  row_.clear();
  row_.append(batch, {.begin = row, .count = 1}, rejected_);
  rejected_.clear();
  if (row_.row_count() == 0) return false;
  FieldCursors(row_, fields_.size()).next(fields_);
  return is_change(fields_.front(), encode::kInsertLetter) && fields_[unchanged_].value;
}

bool UnchangedRows::any_moves(const RecordBatch& batch) {
  for (size_t row = 1; row < batch.row_count(); ++row) {
    if (is_moved(batch, row)) return true;
  }
  return false;
}

const UnchangedRows::Key* UnchangedRows::moves_to(const RecordBatch& batch, size_t row) {
  if (!is_moved(batch, row + 1)) return nullptr;
  key_.clear();
  for (const size_t column : key_columns_) key_.push_back(fields_[column]);
  return &key_;
}

}  // namespace pgsink
