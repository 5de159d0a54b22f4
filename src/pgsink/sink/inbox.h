#pragma once
// Inbox: where producers and the lane meet. It holds what is accepted and not yet taken, counts
// what is accepted and not yet durable against buffer_bytes, and carries flush, close and failure
// across. All of it is guarded by one monitor, taken once a batch or flight, never for a row.

#include <deque>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include <pgsink/metrics.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/env.h"

namespace pgsink {

/// Piece is a slice of an accepted batch. It keeps the batch alive; when the last piece of a batch
/// goes, its memory goes back to the host and its bytes to the budget.
struct Piece {
  std::shared_ptr<const RecordBatch> batch;
  RowRange rows;
  uint64_t number = 0;  ///< Of the batch, counted from 1.
  bool last_of_batch = false;

  /// Its share of the batch's memory.
  size_t memory_bytes() const {
    const size_t rows_all = batch->row_count();
    return rows_all == 0 ? 0 : batch->memory_bytes() / rows_all * rows.count;
  }
};

class Inbox {
 public:
  struct Limits {
    size_t buffer_bytes = 0;
    size_t batch_rows = 0;
    size_t batch_bytes = 0;
    Duration batch_timeout{};
  };

  Inbox(Env& env, Limits limits);

  // ---- producers -------------------------------------------------------------------------------
  /// Accepts a batch, waiting while the budget is used up. A batch larger than the whole budget is
  /// accepted alone.
  Status push(RecordBatch batch);
  /// Waits until all that was accepted before is durable.
  Status flush();
  /// No more push(); what is accepted shall be written. Returns as flush().
  Status close();
  /// The lane shall give up at once.
  void abort();

  // ---- the lane
  // ----------------------------------------------------------------------------------
  struct Taken {
    std::vector<Piece> pieces;
    bool end_transaction = false;  ///< A flush, the close or the timeout wants the commit now.
    bool memory_wanted = false;    ///< A producer waits for memory.
    bool closing = false;
    bool aborted = false;
    Deadline wake_at = kNoDeadline;  ///< When rows that wait here are due, or the transaction is.
  };
  /// Takes up to `rows_max` rows if they are due: a batch is complete, timed out, flushed, or its
  /// memory is wanted. `transaction_open_since` is when the transaction under way took its first
  /// row. If there is nothing for the lane to do, the next news calls the waker.
  Taken take(size_t rows_max, std::optional<TimePoint> transaction_open_since);
  /// Everything up to batch `number` is durable.
  void durable(uint64_t number, uint64_t position);
  /// The sink stopped: wakes everybody; push, flush and close fail with this from now on.
  void stop(Error error);
  /// Says how to wake the lane while it waits elsewhere; nothing to unset.
  void set_waker(std::function<void()> wake);
  /// Sleeps until something happens here or the deadline.
  void wait(Deadline deadline);

  uint64_t durable_position() const;
  void read_gauges(SinkMetrics& metrics) const;

 private:
  bool rows_due(TimePoint now) const;
  void take_rows(size_t rows_max, std::vector<Piece>& pieces);
  void wake_lane();
  Status wait_durable(uint64_t number);

  Env& env_;
  const Limits limits_;
  std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  size_t queued_rows_ = 0;
  size_t queued_bytes_ = 0;
  TimePoint oldest_{};
  size_t held_bytes_ = 0;  ///< Accepted, not durable.
  uint64_t accepted_batches_ = 0;
  uint64_t accepted_rows_ = 0;
  uint64_t durable_batches_ = 0;
  uint64_t durable_position_ = 0;
  uint64_t flush_through_ = 0;  ///< Batches up to this number are to be written without waiting.
  size_t waiting_for_memory_ = 0;
  bool lane_sleeps_ = false;
  bool closing_ = false;
  bool aborted_ = false;
  std::optional<Error> failure_;
  std::function<void()> wake_;
  std::deque<Piece> queue_;  // Last: its pieces give their memory back through the rest.
};

}  // namespace pgsink
