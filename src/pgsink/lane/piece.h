#pragma once

#include <memory>
#include <vector>

#include <pgsink/record_batch.h>

#include "pgsink/client/env.h"
#include "pgsink/lane/router.h"
#include "pgsink/lane/stream_claims.h"

namespace pgsink {

/// Accepted is a batch with the lists of rows that its pieces refer to.
struct Accepted {
  RecordBatch batch;
  std::vector<Share> shares;
  uint64_t number = 0;     ///< Counted from 1.
  uint64_t first_row = 0;  ///< Of the sink's input, counted from 1.
  TimePoint accepted_at{};
  size_t held_bytes = 0;     ///< Of the budget; 0 until it is accepted.
  StreamClaimPointer claim;  ///< Of its stream; null without streams.
  uint64_t stream_from = 0;  ///< The position in the stream that it follows.
};

/// Piece is a slice of an accepted batch. It keeps the batch alive; when the last piece of a batch
/// goes, its memory goes back to the host and its bytes to the budget.
struct Piece {
  std::shared_ptr<const Accepted> source;
  RowRange rows;
  bool last = false;  ///< Of the lane's rows of that batch.

  const RecordBatch& batch() const { return source->batch; }
  /// Its share of the batch's memory.
  size_t memory_bytes() const {
    const size_t rows_all = batch().row_count();
    return rows_all == 0 ? 0 : batch().memory_bytes() / rows_all * rows.count;
  }
  /// The number in the sink's input, from 1, of its i-th row.
  uint64_t input_row(size_t i) const {
    const size_t at = rows.begin + i;
    return source->first_row + (rows.indexes != nullptr ? rows.indexes[at] : at);
  }
};

}  // namespace pgsink
