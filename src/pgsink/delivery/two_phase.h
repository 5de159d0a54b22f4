#pragma once
// Two-phase commit: many prepared transactions, of several lanes, that are committed all or not at
// all. The state is in two tables of the target's schema:
//   pgsink_writers    one row per sink: the generation (a number that each claim raises), the last
//                     decided epoch, the prefixes of its gids, and who writes.
//   pgsink_decisions  one row for each epoch that is decided and not yet committed whole, or that
//                     is prepared whole and waits for its host's decision: its gids.
// An epoch is decided when one row is committed. What is decided is committed, if necessary by the
// next process; what is not is rolled back.
//
// Why nothing is prepared, committed or rolled back without a new writer's knowledge (the fence):
//   - All actions for a sink happen in an attached session: one that holds an advisory lock of the
//     sink, shared, and found its own generation in the table *after* it got the lock.
//   - claim() first raises the generation and commits that, then terminates every session that
//     holds the lock. A session of the previous writer either holds it, and is terminated; or asks
//     for it later, and finds the new generation. A backend's lock is held until its PREPARE
//     TRANSACTION has ended, so what the previous writer prepared is in pg_prepared_xacts when
//     claim() returns.
//   - Locks need no cleaning up: they end with their session, and with a crash of the server.
//
//   auto two_phase = TwoPhase::claim(connection, config, deadline);  // fences the previous writer
//   auto recovered = two_phase->recover(env, connection, {}, deadline);
//   lanes: two_phase->attach(connection, deadline), then "BEGIN …; COPY …" and
//          *two_phase->prepare_sql(gid) in place of COMMIT; the tag must be PREPARE TRANSACTION
//   two_phase->decide(connection, epoch, position, gids, deadline);        // the one row
//   two_phase->commit_decided(env, connection, deadline);                  // may be repeated

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pgsink/record_batch.h>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/decisions.h"
#include "pgsink/delivery/gid.h"

namespace pgsink {

struct TwoPhaseConfig {
  std::string schema;   ///< Of the target, and so of the tables.
  std::string sink_id;  ///< Tells sinks of one schema apart: see stored_sink_id().
  std::string gid_template = "pgsink_${uuid}";
  uint32_t table_oid = 0;  ///< Of the target; 0: not known.
};

/// WriterRow is what the sink's row says about the epochs.
struct WriterRow {
  uint64_t generation = 0;
  uint64_t epoch = 0;  ///< The last decided; 0: none yet.
  HostPosition position;
  std::string writer_name;
  uint32_t table_oid = 0;  ///< Of the target that was written; 0: not known.
};

class TwoPhase {
 public:
  /// claim creates missing tables, raises the generation and fences the previous writer;
  /// `connection` is attached then. Fails with kFenced if another writer claims the sink at the
  /// same time and wins; with kCannotFence if a session of the previous writer cannot be
  /// terminated; with kCannotResume, having changed nothing, if the position belongs to another
  /// table.
  static Result<TwoPhase> claim(Connection& connection, const TwoPhaseConfig& config,
                                Deadline deadline);
  /// Attaches another session. Every session that prepares or calls anything below must be
  /// attached. Fails with kFenced if another writer has claimed the sink. REQUIRES: not behind a
  /// pooler, which would share the lock with other clients.
  Status attach(Connection& connection, Deadline deadline) const;
  /// Gives the lock back, before the session is used by others.
  Status detach(Connection& connection, Deadline deadline) const;

  std::string make_gid(Random& random) const { return gids_.make(random); }
  const std::string& gid_prefix() const { return gids_.prefix(); }
  /// PREPARE TRANSACTION, which ends a flight in place of COMMIT.
  Result<std::string> prepare_sql(std::string_view gid) const;
  /// Whether the transaction is prepared: the outcome after a lost answer to PREPARE TRANSACTION,
  /// once the old backend is fenced.
  Result<bool> is_prepared(Connection& connection, const std::string& gid, Deadline deadline) const;
  /// Which of the transactions are not prepared: the server has lost them (a failover, a restore),
  /// or they were resolved by hand.
  Result<std::vector<std::string>> missing(Connection& connection,
                                           std::span<const std::string> gids,
                                           Deadline deadline) const;
  /// The first epoch that is recorded and waits for its host's decision; nullopt if none does.
  Result<std::optional<uint64_t>> first_waiting(Connection& connection, Deadline deadline) const;

  /// record stores durably that an epoch is completely prepared, for a host that decides later,
  /// perhaps after a restart of this process. An epoch without any transaction is recorded too.
  Status record(Connection& connection, uint64_t epoch, const HostPosition& position,
                std::span<const std::string> gids, Deadline deadline) const;
  /// decide commits the one row that decides: from now on the epoch, with `gids`, and every
  /// recorded one before it will be committed. OK if it is decided already. After a lost
  /// connection, repeat it. Fails with kFenced, or kUsage if a later epoch is decided and this one
  /// was not recorded.
  Status decide(Connection& connection, uint64_t epoch, const HostPosition& position,
                std::span<const std::string> gids, Deadline deadline) const;
  /// finish resets the position to 0: the next writer begins another load.
  Status finish(Connection& connection, Deadline deadline) const;
  /// Commits every prepared transaction of decided epochs, each by a separate statement and as the
  /// role that owns it, then deletes the decisions. One that is gone is committed already. Returns
  /// how many it committed.
  Result<size_t> commit_decided(Env& env, Connection& connection, Deadline deadline) const;
  /// abort ends every other session of this writer, so that nothing more is prepared, deletes the
  /// records of epochs from this one on, and rolls back everything without a record. Never touches
  /// what is decided: fails with kResolveRefused if the epoch is.
  Status abort(Env& env, Connection& connection, uint64_t epoch, Deadline deadline) const;

  struct Recovered {
    uint64_t epoch = 0;  ///< The last decided epoch: the host resumes after it.
    HostPosition position;
    size_t committed = 0, rolled_back = 0;
  };
  /// recover resolves what the previous writer left: decided epochs are committed, and recorded
  /// ones up to `host_epoch`, which the host knows to be complete; all others of the sink are
  /// rolled back. If Recovered::epoch is less than `host_epoch`, the database has lost that epoch
  /// (a failover, a restore) and the host must go back to it. Fails with kNoPreparedTransaction if
  /// a transaction of a recorded epoch that is to be committed is gone.
  Result<Recovered> recover(Env& env, Connection& connection, std::optional<uint64_t> host_epoch,
                            Deadline deadline) const;
  /// The sink's row.
  Result<std::optional<WriterRow>> read(Connection& connection, Deadline deadline) const;

  uint64_t generation() const { return generation_; }

 private:
  Status fence_others(Connection& connection, Deadline deadline) const;
  Status check_table(Connection& connection, uint32_t table_oid, Deadline deadline) const;
  Result<std::vector<Decision>> decisions(Connection& connection, Deadline deadline) const;
  Result<size_t> roll_back_unnamed(Env& env, Connection& connection,
                                   std::span<const std::string> prefixes, Deadline deadline) const;
  Status decide_recorded(Connection& connection, uint64_t host_epoch, Deadline deadline) const;
  Error fenced(const std::optional<WriterRow>& now) const;

  std::string schema_, sink_id_;
  std::string quoted_schema_, quoted_sink_;
  GidMaker gids_;
  uint64_t lock_key_ = 0;
  uint64_t generation_ = 0;
};

}  // namespace pgsink
