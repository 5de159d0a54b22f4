#pragma once
// NumberedRows: the rows of a branch's query, in batches that carry their position: the number of
// rows of the query up to their end.

#include <optional>
#include <vector>

#include <pgsink/row_digest.h>

#include "shell/run/pipeline.h"

namespace pgsink::shell {

class NumberedRows {
 public:
  /// A batch ends at each of the `cuts`, which grow. With `proofs`, batches also carry a digest of
  /// all rows up to their end. The branch outlives this.
  NumberedRows(Branch& branch, std::vector<uint64_t> cuts, bool proofs)
      : branch_(branch), cuts_(std::move(cuts)), proofs_(proofs) {}

  /// Starts the query, or starts it again from its first row.
  EngineResult<void> start();
  /// The next rows; nullopt at the end. REQUIRES: start() succeeded.
  EngineResult<std::optional<RecordBatch>> next();
  /// Rows read since start().
  uint64_t position() const { return position_; }

 private:
  Branch& branch_;
  const std::vector<uint64_t> cuts_;
  const bool proofs_;
  OwnedChunk chunk_;
  size_t chunk_used_ = 0;  ///< Rows of the chunk that were taken.
  uint64_t position_ = 0;
  RowDigest digest_;
};

}  // namespace pgsink::shell
