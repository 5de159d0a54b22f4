#include "shell/run/numbered_rows.h"

#include <algorithm>

#include "shell/engine/chunk_slice.h"

namespace pgsink::shell {

EngineResult<void> NumberedRows::start() {
  chunk_.reset();
  chunk_used_ = 0;
  position_ = 0;
  digest_ = {};
  return branch_.query.start();
}

EngineResult<std::optional<RecordBatch>> NumberedRows::next() {
  if (!chunk_.filled() || chunk_used_ == duckdb_data_chunk_get_size(chunk_.get())) {
    auto chunk = branch_.query.next();
    if (!chunk) return std::unexpected(chunk.error());
    if (!chunk->filled()) return std::nullopt;
    chunk_ = std::move(*chunk);
    chunk_used_ = 0;
  }
  const size_t rows = duckdb_data_chunk_get_size(chunk_.get());
  size_t count = rows - chunk_used_;
  const auto cut = std::ranges::upper_bound(cuts_, position_);
  if (cut != cuts_.end()) count = std::min<uint64_t>(count, *cut - position_);
  auto batch = count == rows ? branch_.rows.batch(chunk_)
                             : branch_.rows.batch(chunk_slice(chunk_, chunk_used_, count));
  if (!batch) return std::unexpected(EngineFault{batch.error(), std::nullopt, false});
  chunk_used_ += count;
  position_ += count;
  batch->position = position_;
  if (proofs_) {
    digest_.add(*batch);
    batch->position_proof = digest_.text();
  }
  return std::optional(std::move(*batch));
}

}  // namespace pgsink::shell
