#include "pgsink/lane/batch_ledger.h"

#include <utility>

namespace pgsink {

void BatchLedger::accept(const RecordBatch& batch) {
  // First what needs memory: without it, nothing has happened.
  HostPosition position = batch.host_position();
  positions_.push_back(batch.position);
  accepted_position_ = std::move(position);
  ++accepted_;
  accepted_rows_ += batch.row_count();
}

bool BatchLedger::settle(uint64_t number) {
  if (number <= durable_) return false;
  for (; durable_ < number; ++durable_) {
    durable_position_ = positions_.front();
    positions_.pop_front();
  }
  return true;
}

}  // namespace pgsink
