#pragma once
// BatchLedger: which batches were accepted, and up to which all of them are durable. Not
// thread-safe: the inbox guards it.

#include <deque>
#include <utility>

#include <pgsink/record_batch.h>

namespace pgsink {

class BatchLedger {
 public:
  /// Everything up to this position of the host is durable already.
  explicit BatchLedger(HostPosition position) { restart(std::move(position)); }

  /// Takes up a batch, the next by number.
  void accept(const RecordBatch& batch);
  uint64_t accepted() const { return accepted_; }
  uint64_t accepted_rows() const { return accepted_rows_; }
  /// Of the last batch.
  const HostPosition& accepted_position() const { return accepted_position_; }

  /// All batches up to this number are durable. False if that was known.
  bool settle(uint64_t number);
  uint64_t durable() const { return durable_; }
  uint64_t durable_position() const { return durable_position_; }
  /// Begins at another position. REQUIRES: nothing was accepted.
  void restart(HostPosition position) {
    durable_position_ = position.position;
    accepted_position_ = std::move(position);
  }

 private:
  uint64_t accepted_ = 0, accepted_rows_ = 0;
  HostPosition accepted_position_;
  uint64_t durable_ = 0, durable_position_ = 0;
  std::deque<uint64_t> positions_;  ///< Of the batches accepted and not durable.
};

}  // namespace pgsink
