#pragma once
// Inbox: where producers and the lanes meet. It holds what is accepted and not yet taken, counts
// what is accepted and not yet durable against buffer_bytes, and carries flush, close and failure
// across. All of it is guarded by one monitor, taken once a batch or flight, never for a row.
//
// Under two-phase commit it also knows the epochs. An epoch is a run of whole batches, ended by
// seal(); no transaction holds rows of two. Its rows give their memory back when they are prepared,
// but they are durable only once somebody says that the epoch is committed.

#include <deque>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include <pgsink/metrics.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/env.h"
#include "pgsink/lane/durable_reports.h"
#include "pgsink/lane/router.h"

namespace pgsink {

/// Accepted is a batch with the lists of rows that its pieces refer to.
struct Accepted {
  RecordBatch batch;
  std::vector<Share> shares;
  uint64_t number = 0;     ///< Counted from 1.
  uint64_t first_row = 0;  ///< Of the sink's input, counted from 1.
  TimePoint accepted_at{};
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

class Inbox final : public DurableReports {
 public:
  struct Limits {
    size_t buffer_bytes = 0;
    size_t batch_rows = 0;
    size_t batch_bytes = 0;
    Duration batch_timeout{};
    bool whole_batches = false;  ///< take() never cuts a lane's rows of a batch.
    /// If not empty: the position of each lane up to which everything is committed already. Batches
    /// up to it are acknowledged without being written; positions must grow.
    std::vector<uint64_t> committed{};
    struct Epochs {
      /// The rows that a lane gets in one epoch are one transaction, and so none of them gives its
      /// memory back before the epoch ends.
      bool one_transaction = false;
      /// An epoch takes no batch with which it would hold more, unless it is the first: see push().
      size_t rows_max = 0, bytes_max = 0;
      uint64_t position = 0;  ///< Up to where everything is committed already.
    };
    std::optional<Epochs> epochs{};  ///< Two-phase commit.
  };

  Inbox(Env& env, Limits limits, Router router);

  // ---- producers -------------------------------------------------------------------------------
  /// Accepts a batch, waiting while the budget is used up, if it may. A batch larger than the whole
  /// budget is accepted alone. False, with the batch untouched, if it would have to wait, or if the
  /// epoch must end first: it is full, or only its commit gives memory back.
  Result<bool> push(RecordBatch& batch, bool may_wait);
  /// Waits until all that was accepted before is durable.
  Status flush();
  /// No more push(); what is accepted shall be written. Returns as flush(), once every lane has
  /// ended: if one failed, the others first write what they have.
  Status close();
  /// The lanes shall give up at once.
  void abort();

  // ---- a lane ----------------------------------------------------------------------------------
  struct Taken {
    std::vector<Piece> pieces;
    bool end_transaction = false;  ///< A flush, the close or the timeout wants the commit now …
    BatchTrigger trigger = BatchTrigger::kFlush;  ///< … and which of them.
    TimePoint oldest{};                           ///< When the first row of `pieces` was accepted.
    bool memory_wanted = false;                   ///< A producer waits for memory.
    bool closing = false;
    bool aborted = false;
    Deadline wake_at = kNoDeadline;  ///< When rows that wait here are due, or the transaction is.
  };
  /// Takes up to `rows_max` rows, and no more behind that with which they hold `bytes_max`, if they
  /// are due: a batch is complete, timed out, flushed, or its memory is wanted.
  /// `transaction_open_since` is when the transaction under way took its first row. If there is
  /// nothing for the lane to do, the next news calls the waker.
  Taken take(size_t lane, size_t rows_max, size_t bytes_max,
             std::optional<TimePoint> transaction_open_since);
  void durable(size_t lane, uint64_t number) override;
  /// The lane failed: wakes everybody; push, flush and close fail with this from now on.
  void stop(Error error);
  /// A lane begins and ends: close() waits for all that began.
  void started();
  void ended();
  /// Waits until all lanes have ended. REQUIRES: something makes them end.
  void wait_ended();
  /// Says how to wake the lane while it waits elsewhere; nothing to unset.
  void set_waker(size_t lane, std::function<void()> wake);
  /// Sleeps until something happens for the lane or the deadline.
  void wait(size_t lane, Deadline deadline);

  // ---- epochs ----------------------------------------------------------------------------------
  /// Sealed is an epoch that takes no more batches.
  struct Sealed {
    uint64_t through_batch = 0;
    uint64_t position = 0;  ///< Of the last batch so far.
    bool empty = false;     ///< No batch came since the last one was sealed.
  };
  /// Seals what was accepted since the last call, to be prepared without waiting for more.
  Sealed seal();
  /// Waits until every lane has prepared all of its rows of batches up to this one.
  Status wait_prepared(uint64_t through_batch);
  /// All batches up to this one are committed.
  void committed(uint64_t through_batch);
  /// From now on somebody else knows when epochs end: none is ever full. `position` is as in
  /// Limits::Epochs. False if batches were accepted before.
  bool take_over_epochs(uint64_t position);
  uint64_t accepted_batches() const;
  /// Whether batches were accepted that no sealed epoch holds.
  bool has_unsealed() const;

  uint64_t durable_position() const;
  void read_gauges(SinkMetrics& metrics) const;

 private:
  /// What waits for one lane.
  struct Queue {
    /// When the first of its rows was accepted. REQUIRES: it has some.
    TimePoint oldest() const { return pieces.front().source->accepted_at; }
    size_t rows = 0, bytes = 0;
    uint64_t taken = 0;            ///< The last batch that a transaction took rows of.
    uint64_t durable = 0;          ///< Of those that gave it rows.
    std::deque<uint64_t> pending;  ///< The batches that gave it rows and are not durable.
    bool sleeps = false;
    std::function<void()> wake;
    std::deque<Piece> pieces;
  };

  Result<bool> wait_for_memory(const RecordBatch& batch, bool may_wait);
  bool memory_wanted() const { return waiting_for_memory_ > 0 || refused_; }
  /// Whether the batch does not fit into the epoch under way, which holds rows already.
  bool exceeds_epoch(const RecordBatch& batch) const;
  /// The last batch of the epoch that this one belongs to; the greatest number if it is not sealed.
  uint64_t epoch_end(uint64_t number) const;
  Status check_position(uint64_t position);
  /// What it returns must outlive the lock: if no lane needs the batch, it gives its memory back.
  [[nodiscard]] std::shared_ptr<const Accepted> accept(std::unique_ptr<Accepted> accepted);
  bool rows_due(const Queue& queue, TimePoint now) const;
  static size_t rows_within(const Piece& piece, size_t rows_max, size_t bytes_max);
  void take_rows(Queue& queue, size_t rows_max, size_t bytes_max, std::vector<Piece>& pieces) const;
  uint64_t lanes_through() const;
  void advance();
  void wake(Queue& queue);
  void wake_all();
  Status wait_durable(uint64_t number);

  Env& env_;
  const Limits limits_;
  /// Held while one batch after the other is routed; taken before monitor_, which lanes need too.
  std::unique_ptr<Monitor> routing_;
  Router router_;                 ///< Guarded by routing_.
  uint64_t routed_position_ = 0;  ///< Guarded by routing_: of the batch before; 0 before the first.
  std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  size_t held_bytes_ = 0;  ///< Accepted, not durable.
  uint64_t accepted_batches_ = 0;
  uint64_t accepted_rows_ = 0;
  uint64_t durable_batches_ = 0;
  uint64_t durable_position_ = 0;
  std::deque<uint64_t> positions_;           ///< Of the batches accepted and not durable.
  std::deque<uint64_t> seals_;               ///< The last batches of sealed epochs not committed.
  uint64_t sealed_through_ = 0;              ///< The last batch of the last sealed epoch.
  uint64_t accepted_position_ = 0;           ///< Of the last batch.
  uint64_t committed_through_ = 0;           ///< The last batch of the last committed epoch.
  size_t epoch_rows_ = 0, epoch_bytes_ = 0;  ///< Accepted since the last seal.
  bool epochs_taken_over_ = false;
  uint64_t flush_through_ = 0;  ///< Batches up to this number are to be written without waiting.
  /// The least batch that a flush waits for.
  static constexpr uint64_t kNothing = std::numeric_limits<uint64_t>::max();
  uint64_t awaited_ = kNothing;
  size_t waiting_for_memory_ = 0;
  bool refused_ = false;  ///< The last batch, for want of memory.
  size_t running_ = 0;
  bool closing_ = false;
  bool aborted_ = false;
  std::optional<Error> failure_;
  std::vector<Queue> queues_;  // Last: its pieces give their memory back through the rest.
};

}  // namespace pgsink
