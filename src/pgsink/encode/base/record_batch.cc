#include "pgsink/record_batch.h"

#include <utility>

namespace pgsink {

RecordBatch::RecordBatch(std::shared_ptr<const Schema> schema, std::vector<ColumnView> columns,
                         size_t row_count, size_t memory_bytes, Release release)
    : schema_(std::move(schema)),
      columns_(std::move(columns)),
      row_count_(row_count),
      memory_bytes_(memory_bytes),
      release_(std::move(release)) {}

RecordBatch::RecordBatch(RecordBatch&& other) noexcept
    : stream(std::move(other.stream)),
      position(std::exchange(other.position, 0)),
      position_proof(std::move(other.position_proof)),
      rejected(std::move(other.rejected)),
      schema_(std::move(other.schema_)),
      columns_(std::move(other.columns_)),
      row_count_(std::exchange(other.row_count_, 0)),
      memory_bytes_(std::exchange(other.memory_bytes_, 0)),
      release_(std::exchange(other.release_, nullptr)) {
  other.columns_.clear();
}

RecordBatch& RecordBatch::operator=(RecordBatch&& other) noexcept {
  if (this == &other) return *this;
  RecordBatch moved(std::move(other));
  std::swap(stream, moved.stream);
  std::swap(position, moved.position);
  std::swap(position_proof, moved.position_proof);
  std::swap(rejected, moved.rejected);
  std::swap(schema_, moved.schema_);
  std::swap(columns_, moved.columns_);
  std::swap(row_count_, moved.row_count_);
  std::swap(memory_bytes_, moved.memory_bytes_);
  std::swap(release_, moved.release_);
  return *this;
}

RecordBatch::~RecordBatch() {
  if (release_) release_();
}

}  // namespace pgsink
