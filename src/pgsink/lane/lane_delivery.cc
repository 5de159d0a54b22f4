// How a flight ends, and what became of one whose end was not heard. It ends by COMMIT, which an
// epoch row may move along with, or by PREPARE TRANSACTION; and it is the target that knows.

#include <utility>

#include "pgsink/lane/lane.h"
#include "pgsink/replication/publication.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

constexpr Duration kRenewTimeout = std::chrono::seconds(30);

}  // namespace

// ---- ending ------------------------------------------------------------------------------------

/// How this attempt of a flight is to end. A gid is never used twice.
Result<Lane::Ending> Lane::ending(Flight& flight) {
  if (flight.salvage.searching()) {
    // A statement of its own: if it fails, the transaction is still to be ended.
    const auto checked = connection_->session().query(sql_text(Sql::kCheckConstraints));
    if (!checked) return fail(checked.error());
    return undoing();
  }
  if (committer_ == nullptr) return Ending{plan_.commit, "COMMIT"};
  const TwoPhase& two_phase = committer_->two_phase();
  flight.attempt.gid = two_phase.make_gid(env_.random);
  auto sql = two_phase.prepare_sql(flight.attempt.gid);
  if (!sql) return fail(sql.error());
  return Ending{*std::move(sql), "PREPARE TRANSACTION"};
}

Lane::Ending Lane::undoing() { return {sql_text(Sql::kAbandon), ""}; }

void Lane::end_transaction(Flight& current, Result<Ending> ending) {
  if (!ending) return lost(ending.error());
  pgproto::Session& session = connection_->session();
  const auto request = session.query(ending->sql);
  if (!request) return lost(request.error());
  current.attempt.done_tag = ending->tag;
  current.attempt.commit_request = *request;
  if (!ending->tag.empty()) current.attempt.commit_end = session.appended_position();
}

/// A session carries the sink's origin, and one that prepares must be seen by whoever takes the
/// sink over.
Status Lane::attach(Connection& connection) {
  const Status marked =
      mark_session(connection, setup_.origin, backend_, env_.clock.now() + kAskTimeout);
  if (!marked) return marked;
  if (setup_.sessions != nullptr && connection.is_direct()) {
    return setup_.sessions->join(connection, env_.clock.now() + kAskTimeout);
  }
  if (committer_ == nullptr) return {};
  return committer_->two_phase().attach(connection, env_.clock.now() + kAskTimeout);
}

// ---- what became of it -------------------------------------------------------------------------

void Lane::resolve(FlightLog::Seq seq) {
  const auto done = is_done(seq);
  if (connection_->broken()) return lost(done ? Error{} : done.error());
  if (!done) {
    log_.step(FlightLog::ResolveFailed{done.error()}, env_.clock.now());
    return;
  }
  const auto proven = log_.step(FlightLog::Resolved{seq, *done}, env_.clock.now());
  if (proven) on_committed(*proven);
}

/// What the target says of a flight whose answer was lost.
Result<bool> Lane::is_done(FlightLog::Seq seq) {
  if (committer_ != nullptr) {
    return committer_->two_phase().is_prepared(*connection_, flight(seq).attempt.gid,
                                               env_.clock.now() + kAskTimeout);
  }
  if (!epoch_renewed_) {
    if (auto renewed = renew_epoch(); !renewed) return fail(renewed.error());
  }
  return epoch_base_ + seq <= epoch_.epoch;
}

Status Lane::renew_epoch() {
  auto row = epochs_->renew(env_, *connection_, epoch_, env_.clock.now() + kRenewTimeout);
  if (!row) return fail(row.error());
  const uint64_t acknowledged = epoch_base_ + log_.committed_prefix();
  if (row->epoch < acknowledged) {
    return fail(Errc::kOutcomeUnknown,
                "the server has lost transactions that were committed (a failover, a restore): its "
                "epoch is " +
                    std::to_string(row->epoch) + ", but " + std::to_string(acknowledged) +
                    " was acknowledged; open the sink again and go on behind position " +
                    std::to_string(row->position));
  }
  epoch_ = std::move(*row);
  epoch_renewed_ = true;
  return {};
}

void Lane::name_new_writer(Error& error) {
  if (epochs_ == nullptr || error.code != Errc::kFenced || !connection_) return;
  if (connection_->session().pending_requests() > 0) return;
  const auto why = epochs_->explain(*connection_, epoch_, env_.clock.now() + kAskTimeout);
  if (why && *why) {
    error = **why;
  } else if (const Status renewed = renew_epoch(); why && !renewed) {
    error = renewed.error();  // It is our row still, but an older one: a standby took over.
  }
}

/// Says what the server cannot know: that what stands in the way is prepared, and whose it is.
void Lane::explain_prepared(Error& error) const {
  if (committer_ == nullptr) return;
  if (error.sqlstate == "53200") {
    error.message +=
        ": raise max_prepared_transactions on the server, or use a larger transaction_size or "
        "fewer lanes";
  } else if (error.sqlstate == "55P03") {
    error.message +=
        ": what holds the lock may be a prepared transaction, for example one of this epoch with "
        "the same unique key, which is not committed before the epoch ends; pg_prepared_xacts "
        "lists them";
  }
}

}  // namespace pgsink
