#pragma once
// LaneDelivery: everything that depends on the delivery guarantee of a sink: how a transaction
// identifies itself, how it ends, how a lost answer is resolved, and what a failure means.

#include <memory>
#include <optional>
#include <string>

#include "pgsink/delivery/epoch_rows.h"
#include "pgsink/delivery/stream_rows.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/lane/epoch_committer.h"
#include "pgsink/lane/flight.h"
#include "pgsink/lane/part_ending.h"
#include "pgsink/lane/stream_claims.h"

namespace pgsink {

/// One for each lane, used by the lane's task alone.
class LaneDelivery {
 public:
  LaneDelivery() = default;
  virtual ~LaneDelivery() = default;
  LaneDelivery(const LaneDelivery&) = delete;
  LaneDelivery& operator=(const LaneDelivery&) = delete;

  /// Makes a connection that replaces a lost one a session of this writer. Fails with kFenced if
  /// there is another writer.
  virtual Status attach(Connection& connection) = 0;
  /// What follows BEGIN, ending in "; ": asks for the transaction's id, or is the fence.
  virtual Result<std::string> begin_sql(const Flight& flight, const TransactionSql& sql) const = 0;
  /// How a transaction that is to be kept ends. Fills in the attempt's ending, and its gid if it
  /// has one.
  virtual Result<std::string> end_sql(Flight& flight) const = 0;

  /// Whether a flight whose answer was lost has committed, if something better than its transaction
  /// id tells. All flights up to `committed_prefix` were acknowledged.
  virtual Result<bool> is_done(Connection& connection, const Flight& flight,
                               FlightLog::Seq committed_prefix) = 0;
  /// A flight is committed, or prepared.
  virtual void committed(const Flight&) {}
  /// Rows of committed epochs, where a flight alone commits nothing; nullopt where it does.
  virtual std::optional<uint64_t> rows_of_epochs() const { return std::nullopt; }

  /// Whether an error means that another writer has taken over.
  virtual bool is_fenced(const Error&) const { return false; }
  /// A hint about an error that the server cannot give; "" for none.
  virtual std::string hint(const Error&) const { return {}; }
  /// Whether another writer may take over a part of what this lane writes, and the lane goes on
  /// with the rest.
  virtual bool loses_parts() const { return false; }
  /// After a flight was fenced: finds out what other writers have taken over. False if nothing of
  /// the flight. REQUIRES: no request is pending.
  virtual Result<bool> find_lost(const Flight&, Connection&) { return false; }
  /// Whether rows are not to be written any more, because they are another writer's.
  virtual bool is_gone(const Piece&) const { return false; }
  /// Replaces a kFenced error by one that names the new writer. REQUIRES: no request is pending.
  virtual void name_new_writer(Error&, Connection&, FlightLog::Seq /*committed_prefix*/) {}
};

/// At least once: COMMIT, and pg_xact_status() after a lost answer. `sessions`: under a sink_id,
/// marks the sessions of this writer; null: they are not marked.
std::unique_ptr<LaneDelivery> deliver_at_least_once(Env& env, std::string commit,
                                                    const WriterSessions* sessions);
/// Exactly once: each flight moves the lane's row, which claim() left as `row`.
std::unique_ptr<LaneDelivery> deliver_exactly_once(Env& env, std::string commit,
                                                   const Epochs& epochs, LaneEpoch row);
/// Exactly once by streams: each flight moves the rows of its streams in `rows`, as far as `claims`
/// still has them. Both outlive it.
std::unique_ptr<LaneDelivery> deliver_by_stream(Env& env, std::string commit,
                                                const StreamRows& rows, StreamClaims& claims,
                                                size_t lane);
/// Two-phase commit: each flight ends in PREPARE TRANSACTION, and `committer` commits it.
std::unique_ptr<LaneDelivery> deliver_two_phase(Env& env, EpochCommitter& committer);
/// A part of a two-phase job: its one transaction ends in PREPARE TRANSACTION, and `ending` learns
/// what is prepared.
std::unique_ptr<LaneDelivery> deliver_part(Env& env, std::shared_ptr<PartEnding> ending);

}  // namespace pgsink
