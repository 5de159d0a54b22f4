#pragma once
// ArrowRows: the engine's chunks as record batches for a sink.

#include <memory>
#include <string>
#include <vector>

#include <pgsink/record_batch.h>

#include "shell/engine/engine.h"
#include "shell/engine/vector_values.h"

namespace pgsink::shell {

class ArrowRows {
 public:
  /// For chunks of these columns, under these names (one for each column).
  static Result<ArrowRows> of(const Engine& engine, const std::vector<Column>& columns,
                              const std::vector<std::string>& names);

  const std::shared_ptr<const Schema>& schema() const { return schema_; }
  /// The rows of a chunk, in memory of their own: the chunk may go.
  Result<RecordBatch> batch(const OwnedChunk& chunk) const;

 private:
  /// The batch of a chunk, with the values that Arrow would change from the chunk itself.
  Result<RecordBatch> with_vector_values(const OwnedChunk& chunk, RecordBatch batch) const;

  std::shared_ptr<const Schema> schema_;
  /// For each column whose values Arrow would change.
  std::vector<std::optional<VectorValues>> vectors_;
  duckdb_arrow_options options_ = nullptr;  ///< The engine's.
};

}  // namespace pgsink::shell
