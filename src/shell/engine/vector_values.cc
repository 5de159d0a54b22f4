#include "shell/engine/vector_values.h"

#include <algorithm>
#include <cstring>
#include <numeric>

namespace pgsink::shell {
namespace {

using pgproto::Errc;

/// Copies the values of `rows` into memory of their own and points the column at them.
template <typename Value>
void copy_values(duckdb_vector vector, const std::vector<idx_t>& rows, ColumnView& column,
                 VectorValues::Buffers& buffers) {
  const auto* from = static_cast<const std::byte*>(duckdb_vector_get_data(vector));
  auto copy = std::make_unique<std::byte[]>(std::max<size_t>(rows.size(), 1) * sizeof(Value));
  for (size_t i = 0; i < rows.size(); ++i) {
    std::memcpy(copy.get() + i * sizeof(Value), from + rows[i] * sizeof(Value), sizeof(Value));
  }
  column.values = copy.get();
  column.stride_bytes = sizeof(Value);
  buffers.push_back(std::move(copy));
}

/// What has no type has no value.
Status check_nulls(duckdb_vector vector, const std::vector<idx_t>& rows) {
  uint64_t* const validity = duckdb_vector_get_validity(vector);
  const bool all = std::ranges::all_of(rows, [&](idx_t row) {
    return validity != nullptr && !duckdb_validity_row_is_valid(validity, row);
  });
  if (all) return {};
  return pgproto::fail(Errc::kInternal,
                       "the SQL engine returned a value in a column that it described as always "
                       "NULL; nothing of this chunk is written: cast the column in the query "
                       "(column::TYPE), and please report it");
}

/// How many elements the rows of an imported list have together.
int64_t imported_elements(const ColumnView& list, size_t row_count) {
  const auto offset = [&](size_t row) -> int64_t {
    const auto* at = static_cast<const std::byte*>(list.values) +
                     static_cast<ptrdiff_t>(row) * list.stride_bytes;
    if (list.kind == ColumnKind::kList64) {
      int64_t value = 0;
      std::memcpy(&value, at, sizeof(value));
      return value;
    }
    int32_t value = 0;
    std::memcpy(&value, at, sizeof(value));
    return value;
  };
  // The elements' rows count from 0, as the engine's chunks begin there.
  return row_count == 0 || list.values == nullptr ? 0 : offset(row_count);
}

}  // namespace

std::optional<VectorValues> VectorValues::of(duckdb_logical_type type, Field& field) {
  VectorValues values = plan(type, field, false);
  if (!values.changes_anything()) return std::nullopt;
  return values;
}

VectorValues VectorValues::plan_owned(duckdb_logical_type taken, Field& field) {
  const OwnedType type(taken);
  return plan(type.get(), field, true);
}

VectorValues VectorValues::plan(duckdb_logical_type type, Field& field, bool nested) {
  VectorValues values;
  switch (duckdb_get_type_id(type)) {
    case DUCKDB_TYPE_BOOLEAN:
      if (!nested) break;
      values.shape_ = Shape::kBoolean;
      field.kind = ColumnKind::kBoolBytes;
      break;
    case DUCKDB_TYPE_SQLNULL:
      values.shape_ = Shape::kNull;
      break;
    case DUCKDB_TYPE_INTERVAL:
      values.shape_ = Shape::kInterval;
      field.kind = ColumnKind::kIntervalMonthDayMicro;
      break;
    case DUCKDB_TYPE_LIST:
      values.shape_ = Shape::kList;
      values.children_.push_back(
          plan_owned(duckdb_list_type_child_type(type), field.children.at(0)));
      break;
    case DUCKDB_TYPE_MAP: {  // A list of structs of key and value.
      Field& entry = field.children.at(0);
      VectorValues entries;
      entries.shape_ = Shape::kStruct;
      entries.children_.push_back(plan_owned(duckdb_map_type_key_type(type), entry.children.at(0)));
      entries.children_.push_back(
          plan_owned(duckdb_map_type_value_type(type), entry.children.at(1)));
      values.shape_ = Shape::kList;
      values.children_.push_back(std::move(entries));
      break;
    }
    case DUCKDB_TYPE_ARRAY:
      values.shape_ = Shape::kArray;
      values.width_ = duckdb_array_type_array_size(type);
      values.children_.push_back(
          plan_owned(duckdb_array_type_child_type(type), field.children.at(0)));
      break;
    case DUCKDB_TYPE_STRUCT:
      values.shape_ = Shape::kStruct;
      for (idx_t i = 0; i < duckdb_struct_type_child_count(type); ++i) {
        values.children_.push_back(
            plan_owned(duckdb_struct_type_child_type(type, i), field.children.at(i)));
      }
      break;
    default:
      break;
  }
  return values;
}

bool VectorValues::changes_anything() const {
  const bool leaf =
      shape_ == Shape::kNull || shape_ == Shape::kBoolean || shape_ == Shape::kInterval;
  if (leaf) return true;
  return std::ranges::any_of(children_,
                             [](const VectorValues& child) { return child.changes_anything(); });
}

Status VectorValues::take(duckdb_vector vector, size_t row_count, ColumnView& column,
                          Buffers& buffers) const {
  Rows rows(row_count);
  std::iota(rows.begin(), rows.end(), idx_t{0});
  return take_rows(vector, rows, column, buffers);
}

Status VectorValues::take_rows(duckdb_vector vector, const Rows& rows, ColumnView& column,
                               Buffers& buffers) const {
  if (!changes_anything()) return {};
  switch (shape_) {
    case Shape::kUnchanged:
      return {};
    case Shape::kNull:
      return check_nulls(vector, rows);
    case Shape::kBoolean:
      column.kind = ColumnKind::kBoolBytes;
      copy_values<uint8_t>(vector, rows, column, buffers);
      return {};
    case Shape::kInterval:
      column.kind = ColumnKind::kIntervalMonthDayMicro;
      copy_values<duckdb_interval>(vector, rows, column, buffers);
      return {};
    case Shape::kList:
      return take_list(vector, rows, column, buffers);
    case Shape::kArray:
      return take_array(vector, rows, column, buffers);
    case Shape::kStruct:
      break;
  }
  for (size_t i = 0; i < children_.size(); ++i) {
    auto* const child = duckdb_struct_vector_get_child(vector, i);
    auto taken = children_[i].take_rows(child, rows, column.children.at(i), buffers);
    if (!taken) return taken;
  }
  return {};
}

Status VectorValues::take_list(duckdb_vector vector, const Rows& rows, ColumnView& column,
                               Buffers& buffers) const {
  const auto* lists = static_cast<const duckdb_list_entry*>(duckdb_vector_get_data(vector));
  uint64_t* const validity = duckdb_vector_get_validity(vector);
  Rows elements;
  for (const idx_t row : rows) {
    if (validity != nullptr && !duckdb_validity_row_is_valid(validity, row)) continue;
    for (idx_t i = 0; i < lists[row].length; ++i) elements.push_back(lists[row].offset + i);
  }
  const int64_t imported = imported_elements(column, rows.size());
  if (imported != static_cast<int64_t>(elements.size())) {
    return pgproto::fail(Errc::kInternal,
                         "the SQL engine hands over lists of " + std::to_string(imported) +
                             " elements in all, which have " + std::to_string(elements.size()) +
                             "; nothing of this chunk is written");
  }
  return children_[0].take_rows(duckdb_list_vector_get_child(vector), elements,
                                column.children.at(0), buffers);
}

Status VectorValues::take_array(duckdb_vector vector, const Rows& rows, ColumnView& column,
                                Buffers& buffers) const {
  Rows elements;
  elements.reserve(rows.size() * width_);
  for (const idx_t row : rows) {  // Also those of NULL: they have elements in both forms.
    for (idx_t i = 0; i < width_; ++i) elements.push_back(row * width_ + i);
  }
  return children_[0].take_rows(duckdb_array_vector_get_child(vector), elements,
                                column.children.at(0), buffers);
}

}  // namespace pgsink::shell
