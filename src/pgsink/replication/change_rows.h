#pragma once
// ChangeRows collects rows of texts, column by column, and makes a RecordBatch of them.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// text_schema has that many nullable text columns.
std::shared_ptr<const Schema> text_schema(const std::vector<std::string>& names);

class ChangeRows {
 public:
  explicit ChangeRows(std::shared_ptr<const Schema> schema);

  /// Adds one value; a row is one value for each column, in order.
  void add(std::optional<std::string_view> value);
  /// Fills the rest of the row with NULLs.
  void end_row() {
    while (values_ % columns_.size() != 0) add(std::nullopt);
  }
  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  size_t rows() const { return values_ / schema_->size(); }
  size_t bytes() const { return bytes_; }
  /// Returns the rows so far and starts again. REQUIRES: the last row is complete.
  RecordBatch take(uint64_t position);
  void clear();

 private:
  struct Column {
    std::vector<int64_t> offsets{0};
    std::vector<uint8_t> valid;
    std::string heap;
  };

  std::shared_ptr<const Schema> schema_;
  std::vector<Column> columns_;
  size_t values_ = 0, bytes_ = 0;
};

}  // namespace pgsink
