#include "pgsink/lane/inbox_epochs.h"

#include <algorithm>

namespace pgsink {

bool InboxEpochs::is_full_for(const RecordBatch& batch) const {
  if (!limits_ || host_decides_ || rows_ == 0) return false;
  return rows_ + batch.row_count() > limits_->rows_max ||
         bytes_ + batch.memory_bytes() > limits_->bytes_max;
}

void InboxEpochs::count(const RecordBatch& batch) {
  rows_ += batch.row_count();
  bytes_ += batch.memory_bytes();
}

bool InboxEpochs::seal(uint64_t last_batch) {
  const bool has_batches = last_batch != sealed_through_;
  if (has_batches) seals_.push_back(last_batch);
  sealed_through_ = last_batch;
  rows_ = 0;
  bytes_ = 0;
  return has_batches;
}

uint64_t InboxEpochs::epoch_end(uint64_t batch) const {
  const auto end = std::ranges::lower_bound(seals_, batch);
  return end == seals_.end() ? kUnsealed : *end;
}

void InboxEpochs::commit(uint64_t through_batch) {
  while (!seals_.empty() && seals_.front() <= through_batch) seals_.pop_front();
  committed_through_ = std::max(committed_through_, through_batch);
}

}  // namespace pgsink
