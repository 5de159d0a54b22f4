#include "pgsink/lane/batch_router.h"

#include <string>

namespace pgsink {

Status BatchRouter::check(uint64_t position) const {
  if (committed_.empty()) return {};
  if (position <= position_) {
    return fail(Errc::kUsage,
                "write(): exactly-once needs a RecordBatch::position that grows with "
                "each batch; " +
                    std::to_string(position) + " follows " + std::to_string(position_));
  }
  // Where the first batch begins only the host knows: right after durable_position(), or anywhere
  // before with the batches cut as they were.
  for (const uint64_t committed : committed_) {
    if (position_ == 0 || committed <= position_ || committed >= position) continue;
    return fail(Errc::kUsage, "write(): the batch up to position " + std::to_string(position) +
                                  " holds rows on both sides of " + std::to_string(committed) +
                                  ", up to where everything is committed: cut the batches of a "
                                  "replay as they were");
  }
  return {};
}

std::vector<Share> BatchRouter::route(const RecordBatch& batch) {
  if (streams_ != nullptr) {
    std::vector<Share> whole(1);
    whole.front().lane = streams_->lane_of(batch.stream);
    whole.front().count = batch.row_count();
    return whole;
  }
  std::vector<Share> shares = router_.route(batch);
  position_ = batch.position;
  return shares;
}

}  // namespace pgsink
