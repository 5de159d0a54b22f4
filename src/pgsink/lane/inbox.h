#pragma once
// Inbox: between producers and lanes. It holds what is accepted and not yet taken, counts what is
// accepted and not yet durable against buffer_bytes, and passes flush, close and failures on. All
// of it is guarded by one monitor, locked once per batch or flight, never per row.
//
// Under two-phase commit it also knows the epochs. An epoch is a run of whole batches, ended by
// seal(); no transaction holds rows of two. Its rows give their memory back when they are prepared,
// but they are durable only when the epoch is reported as committed.

#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include <pgsink/metrics.h>
#include <pgsink/record_batch.h>

#include "pgsink/client/env.h"
#include "pgsink/lane/batch_ledger.h"
#include "pgsink/lane/batch_router.h"
#include "pgsink/lane/durable_reports.h"
#include "pgsink/lane/inbox_epochs.h"
#include "pgsink/lane/lane_messages.h"
#include "pgsink/lane/lane_queue.h"
#include "pgsink/lane/running_lanes.h"

namespace pgsink {

class Inbox final : public DurableReports {
 public:
  struct Limits {
    size_t buffer_bytes = 0;
    size_t batch_rows = 0;
    size_t batch_bytes = 0;
    Duration batch_timeout{};
    bool whole_batches = false;  ///< take() never cuts a lane's rows of a batch.
    bool ends_by_age = true;     ///< A transaction older than batch_timeout ends.
    /// If not empty: the position of each lane up to which everything is committed already. Batches
    /// up to it are acknowledged without being written; positions must grow.
    std::vector<uint64_t> committed{};
    /// Not null: positions are those of streams. It outlives the inbox.
    StreamClaims* streams = nullptr;
    using Epochs = InboxEpochs::Limits;
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
  /// As flush(), of batches up to this number.
  Status flush_through(uint64_t batch);
  /// No more push(); everything accepted will be written. Returns as flush(), once every lane has
  /// ended: if one failed, the others first write what they have.
  Status close();
  /// The lanes must stop at once.
  void abort();
  /// As abort(); and calls that wait here, now or later, fail with kInterrupted, unless a lane has
  /// failed before. The end of the lanes is waited for no longer than `patience`.
  void interrupt(Duration patience);

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
  /// Takes up to `rows_max` rows, and no more after the row with which they hold `bytes_max`, if
  /// they are due: a batch is complete, timed out, flushed, or its memory is needed.
  /// `transaction_open_since` is when the current transaction took its first row. If there is
  /// nothing to do, the next change calls the lane's waker.
  Taken take(size_t lane, size_t rows_max, size_t bytes_max,
             std::optional<TimePoint> transaction_open_since);
  void durable(size_t lane, uint64_t number) override;
  /// The lane failed: wakes everybody; push, flush and close fail with this from now on.
  void stop(Error error);
  /// As stop(), by a lane that knows what it has and has not written: stop_cause() is the cause
  /// alone. The first one to stop counts.
  void stop(const Error& cause, const StopReport& report);
  /// The lanes that close() waits for: each says that it begins and ends.
  RunningLanes& lanes() { return lanes_; }
  const RunningLanes& lanes() const { return lanes_; }
  /// Says how to wake the lane while it waits elsewhere; nothing to unset.
  void set_waker(size_t lane, std::function<void()> wake);
  /// Sleeps until something happens for the lane or the deadline.
  void wait(size_t lane, Deadline deadline);

  // ---- epochs ----------------------------------------------------------------------------------
  /// Sealed is an epoch that takes no more batches.
  struct Sealed {
    uint64_t through_batch = 0;
    HostPosition position;  ///< Of the last batch so far.
    bool empty = false;     ///< No batch came since the last one was sealed.
  };
  /// Seals what was accepted since the last call, to be prepared without waiting for more.
  Sealed seal();
  /// Waits until every lane has prepared all of its rows of batches up to this one.
  Status wait_prepared(uint64_t through_batch);
  /// All batches up to this one are committed.
  void committed(uint64_t through_batch);
  /// From now on the caller decides when epochs end: none is ever full. `position` is as in
  /// Limits::Epochs. False if batches were accepted before.
  bool take_over_epochs(HostPosition position);
  uint64_t accepted_batches() const;
  /// Whether batches were accepted that no sealed epoch holds.
  bool has_unsealed() const;

  /// OK, or what stopped it.
  Status status() const;
  /// StopCause is what one of several lanes stopped of; what all of them wrote is not in it.
  struct StopCause {
    Error cause;
    StopReport report;
  };
  std::optional<StopCause> stop_cause() const;
  uint64_t durable_position() const;
  void read_gauges(SinkMetrics& metrics) const;

 private:
  enum class Stage : uint8_t { kOpen, kClosing, kAborted };
  /// The memory of batches that are accepted and not durable.
  struct Memory {
    size_t held_bytes = 0;
    int64_t held_since_wall_us = 0;  ///< When it was empty last.
    size_t waiting = 0;              ///< Producers that wait for some.
    bool refused = false;            ///< The last batch was refused for lack of it.

    bool is_wanted() const { return waiting > 0 || refused; }
  };

  Result<bool> wait_apart(const RecordBatch& batch, bool may_wait);
  Result<bool> wait_for_memory(const RecordBatch& batch, bool may_wait);
  /// A batch whose end gives its memory back.
  std::shared_ptr<Accepted> make_accepted(RecordBatch& batch);
  /// `accepted` must outlive the lock: if no lane needs the batch, it gives its memory back.
  Status accept(const std::shared_ptr<Accepted>& accepted);
  void queue_pieces(const std::shared_ptr<const Accepted>& source);
  void fail_all(Error error);
  bool rows_due(const LaneQueue& queue, TimePoint now) const;
  void advance();
  void wake_all();
  Status wait_durable(uint64_t number);

  Env& env_;
  const Limits limits_;
  RunningLanes lanes_;
  /// Held while one batch after the other is routed; taken before monitor_, which lanes need too.
  std::unique_ptr<Monitor> routing_;
  bool apart_ = false;  ///< The last batch must be durable before the next; guarded by routing_.
  BatchRouter router_;  ///< Guarded by routing_; its constant parts need no lock.
  std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  Memory memory_;
  BatchLedger ledger_;
  InboxEpochs epochs_;
  uint64_t flush_through_ = 0;  ///< Batches up to this number are to be written without waiting.
  /// The least batch that a flush waits for.
  static constexpr uint64_t kNothing = std::numeric_limits<uint64_t>::max();
  uint64_t awaited_ = kNothing;
  Stage stage_ = Stage::kOpen;
  std::optional<Error> failure_;
  std::optional<StopCause> cause_;  ///< Of failure_, if a lane stopped of it.
  std::vector<LaneQueue> queues_;   // Last: its pieces give their memory back through the rest.
};

}  // namespace pgsink
