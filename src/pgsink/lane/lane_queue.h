#pragma once
// LaneQueue: what waits in the inbox for one lane. Not thread-safe: the inbox guards it.

#include <deque>
#include <functional>
#include <vector>

#include "pgsink/lane/piece.h"

namespace pgsink {

class LaneQueue {
 public:
  bool empty() const { return pieces_.empty(); }
  /// The number of the batch that comes first. REQUIRES: not empty.
  uint64_t first_batch() const { return pieces_.front().source->number; }
  /// When its first row was accepted. REQUIRES: not empty.
  TimePoint oldest() const { return pieces_.front().source->accepted_at; }
  /// Whether there are that many rows or bytes.
  bool holds(size_t rows, size_t bytes) const { return rows_ >= rows || bytes_ >= bytes; }

  void add(Piece piece);
  struct Limits {
    size_t rows_max = 0, bytes_max = 0;
    uint64_t through_batch = 0;  ///< The last batch to take rows of.
    bool whole_batches = false;  ///< Never cut a lane's rows of a batch.
  };
  /// Takes the first rows, up to the limits; the last one may go beyond bytes_max.
  std::vector<Piece> take(Limits limits);
  /// A new transaction begins with the next row.
  void begin_transaction();
  /// The last batch of which the current transaction took rows.
  uint64_t taken() const { return taken_; }

  /// Its rows of all batches up to this one are durable, or prepared.
  void settle(uint64_t through_batch);
  uint64_t durable() const { return durable_; }
  /// The first batch that gave it rows which are not durable; 0 if there is none.
  uint64_t first_pending() const { return pending_.empty() ? 0 : pending_.front(); }

  /// Says how to wake the lane while it waits elsewhere; nothing to unset.
  void set_waker(std::function<void()> wake) { wake_ = std::move(wake); }
  void set_sleeping(bool sleeps) { sleeps_ = sleeps; }
  bool sleeps() const { return sleeps_; }
  /// Wakes the lane wherever it waits but at the inbox's monitor.
  void call_waker() const {
    if (wake_) wake_();
  }

 private:
  std::deque<Piece> pieces_;
  size_t rows_ = 0, bytes_ = 0;
  uint64_t taken_ = 0;
  uint64_t durable_ = 0;          ///< Of the batches that gave it rows.
  std::deque<uint64_t> pending_;  ///< The batches that gave it rows and are not durable.
  bool sleeps_ = false;
  std::function<void()> wake_;
};

}  // namespace pgsink
