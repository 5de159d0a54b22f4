#pragma once
// EpochCommitter ends the epochs of one sink under two-phase commit. The lanes prepare
// transactions; the committer waits until an epoch is completely prepared, has it decided by one
// row, and commits its transactions. Two ways to drive it:
//   - by the sink: end_epoch() does all of it, at flush() and close() and when an epoch is full.
//   - by a host, which begins with recover(): prepare(), then, perhaps much later or after a
//     restart of the process, commit() or abort().
// It has its own connection and no thread: the work is done in the caller's, one caller at a time.
// Every step may be repeated, so after a lost connection it continues on a new one.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "pgsink/delivery/two_phase.h"
#include "pgsink/lane/deciding_connection.h"
#include "pgsink/lane/flight.h"
#include "pgsink/lane/inbox.h"
#include "pgsink/options/retry.h"

namespace pgsink {

class EpochCommitter {
 public:
  struct Setup {
    Env& env;
    std::string where;  ///< Connection and table, for messages.
    Inbox& inbox;
    TwoPhase two_phase;
    PoolLease connection;  ///< The one that claimed the sink.
    RetryPolicy retry{};
    bool one_at_a_time = false;  ///< No epoch is prepared before the last one is committed.
    /// The last decided epoch, and the first one that waits for its host's decision, if any.
    uint64_t epoch = 0;
    std::optional<uint64_t> waiting{};
  };
  explicit EpochCommitter(Setup setup);

  /// For the lanes: to make gids, to attach sessions, to ask for outcomes.
  const TwoPhase& two_phase() const { return two_phase_; }
  /// A lane has prepared a transaction. Call it before Inbox::durable(). Thread-safe.
  void prepared(const Flight& flight);
  /// Rows of committed epochs. Thread-safe.
  uint64_t rows_committed() const { return counted().written; }
  struct Counted {
    uint64_t written = 0;  ///< Of the input.
    uint64_t changed = 0;  ///< Of the target.
  };
  Counted counted() const;

  /// Whether rows are accepted: fails with kUsage if an epoch of a previous run waits for its host,
  /// which has not called recover().
  Status check_ready() const;
  /// Whether the host decides: it has called recover().
  bool host_decides() const;

  /// Whether the host has aborted an epoch.
  bool aborted() const;

  /// Ends the current epoch: all that was accepted is committed.
  Status end_epoch();

  /// Resets the position of the last epoch. REQUIRES: every epoch is committed.
  Status finish();

  // ---- for hosts: see Sink ---------------------------------------------------------------------
  Result<TwoPhase::Recovered> recover(uint64_t last_committed_epoch);
  Status prepare(uint64_t epoch);
  Status commit(uint64_t epoch);
  Status abort(uint64_t epoch);

  /// Ends retries: a call ends with the statements that it has sent. Thread-safe.
  void interrupt() { connection_.interrupt(); }

  /// Rolls back what no recorded epoch holds, as far as that works at once, and gives the
  /// connection back; the next open() does the rest. REQUIRES: the lanes have ended.
  void close();

 private:
  /// Whether the host decides when epochs end.
  enum class Host : uint8_t {
    kNone,     ///< The sink does.
    kDecides,  ///< It has called recover().
    kAborted,  ///< And has aborted an epoch: nothing more is written.
  };
  struct Prepared {
    std::string gid;
    uint64_t last_batch = 0;
    Counted rows;
  };
  /// An epoch that is sealed and not committed.
  struct Epoch {
    uint64_t number = 0, through_batch = 0;
    Counted rows;
    HostPosition position;
    std::vector<std::string> gids;
  };
  /// Turn is held by the one caller that works.
  class Turn {
   public:
    explicit Turn(EpochCommitter& owner);
    ~Turn();
    Turn(const Turn&) = delete;
    Turn& operator=(const Turn&) = delete;

   private:
    EpochCommitter& owner_;
  };

  Result<Epoch> seal_and_wait(uint64_t number);
  Status check_host() const;
  void count_committed(const Epoch& epoch);
  Status check_present(Connection& connection, const Epoch& epoch, Deadline deadline) const;
  Status decide_and_commit(const Epoch& epoch);
  Status with_connection(const DecidingConnection::Work& work);
  Error explain(Error cause) const;

  Env& env_;
  const std::string where_;
  Inbox& inbox_;
  const TwoPhase two_phase_;
  const bool one_at_a_time_;
  std::unique_ptr<Monitor> monitor_;
  // Guarded by monitor_:
  bool busy_ = false;
  Host host_ = Host::kNone;
  std::optional<uint64_t> waiting_;
  std::vector<Prepared> prepared_;  ///< Of epochs not sealed yet, or being sealed.
  Counted counted_;
  // Of the caller that has the turn:
  DecidingConnection connection_;
  std::vector<Epoch> epochs_;     ///< Prepared for the host, not committed.
  uint64_t last_epoch_ = 0;       ///< Decided or recorded.
  uint64_t settled_through_ = 0;  ///< The last batch of it.
};

}  // namespace pgsink
