#pragma once
// BatchRouter: one batch after the other is checked and routed. Not thread-safe: the inbox guards
// it.

#include <utility>
#include <vector>

#include "pgsink/lane/piece.h"
#include "pgsink/lane/router.h"
#include "pgsink/lane/stream_claims.h"

namespace pgsink {

class BatchRouter {
 public:
  /// `committed` if not empty: the position of each lane up to which everything is committed.
  /// `streams` if not null: each batch takes the lane of its stream.
  BatchRouter(Router router, std::vector<uint64_t> committed, const StreamClaims* streams)
      : router_(std::move(router)), committed_(std::move(committed)), streams_(streams) {}

  size_t lanes() const { return router_.lanes(); }
  /// Exactly-once depends on positions: they say what a replay need not write again. Fails with
  /// kUsage if this position does not follow the last one.
  Status check(uint64_t position) const;
  std::vector<Share> route(const RecordBatch& batch);
  /// See Router::moves().
  bool moves(const RecordBatch& batch) { return streams_ == nullptr && router_.moves(batch); }
  /// Whether a lane has committed its rows of a batch.
  bool is_committed(size_t lane, const Accepted& source) const {
    const uint64_t position = source.batch.position;
    if (source.claim != nullptr) return position <= source.claim->claimed;
    return !committed_.empty() && position <= committed_[lane];
  }

 private:
  Router router_;
  const std::vector<uint64_t> committed_;
  const StreamClaims* const streams_;
  uint64_t position_ = 0;  ///< Of the batch before; 0 before the first.
};

}  // namespace pgsink
