#include "pgsink/replication/change_rows.h"

#include <utility>

namespace pgsink {

std::shared_ptr<const Schema> text_schema(const std::vector<std::string>& names) {
  Schema schema;
  schema.reserve(names.size());
  for (const std::string& name : names) {
    Field field;
    field.name = name;
    field.kind = ColumnKind::kText64;
    schema.push_back(std::move(field));
  }
  return std::make_shared<const Schema>(std::move(schema));
}

ChangeRows::ChangeRows(std::shared_ptr<const Schema> schema)
    : schema_(std::move(schema)), columns_(schema_->size()) {}

void ChangeRows::add(std::optional<std::string_view> value) {
  Column& column = columns_[values_ % columns_.size()];
  if (value) column.heap.append(*value);
  column.offsets.push_back(static_cast<int64_t>(column.heap.size()));
  column.valid.push_back(value ? 1 : 0);
  bytes_ += sizeof(int64_t) + 1 + (value ? value->size() : 0);
  ++values_;
}

RecordBatch ChangeRows::take(uint64_t position) {
  PGPROTO_ASSERT(values_ % columns_.size() == 0);
  const auto held = std::make_shared<std::vector<Column>>(std::move(columns_));
  std::vector<ColumnView> views;
  views.reserve(held->size());
  for (const Column& column : *held) {
    ColumnView view;
    view.kind = ColumnKind::kText64;
    view.values = column.offsets.data();
    view.stride_bytes = sizeof(int64_t);
    view.heap = column.heap.data();
    view.validity_bytes = column.valid.data();
    view.validity_stride_bytes = 1;
    views.push_back(std::move(view));
  }
  RecordBatch batch(schema_, std::move(views), rows(), bytes_, [held] {});
  batch.position = position;
  clear();
  return batch;
}

void ChangeRows::clear() {
  columns_.assign(schema_->size(), Column{});
  values_ = 0;
  bytes_ = 0;
}

}  // namespace pgsink
