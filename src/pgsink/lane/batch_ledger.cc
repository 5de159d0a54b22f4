#include "pgsink/lane/batch_ledger.h"

namespace pgsink {

void BatchLedger::accept(const RecordBatch& batch) {
  ++accepted_;
  accepted_rows_ += batch.row_count();
  accepted_position_ = batch.host_position();
  positions_.push_back(batch.position);
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
