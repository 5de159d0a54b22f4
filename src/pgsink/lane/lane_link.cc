// The lane's connection: how it comes, goes and comes back, and what became of the flights that
// were on it.

#include <algorithm>
#include <utility>

#include "pgsink/client/identity.h"
#include "pgsink/lane/lane.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// A wait for this long proves that a backend that was told to go will not.
constexpr Duration kFenceTimeout = std::chrono::seconds(10);
constexpr Duration kStatusTimeout = std::chrono::seconds(10);

}  // namespace

void Lane::connect() {
  Status ready = connection_.connect();
  if (ready) ready = attach(*connection_);
  if (ready) return adopt();
  connection_.reset();
  note_error(ready.error());
  log_.step(FlightLog::ConnectFailed{ready.error()}, env_.clock.now());
}

void Lane::adopt() {
  fatal_.reset();
  demoted_ = false;
  const ServerIdentity& server = connection_->server();
  backend_ = server.backend;
  pooled_ = !connection_->is_direct();
  sql_ = &plan_.transactions(connection_->is_direct());
  guard_set_ = false;
  planner_set_ = false;
  defaults_set_ = false;
  epoch_renewed_ = false;
  stage_request_ = 0;
  stage_error_.reset();
  // Behind a pooler another client's statements may have our names' place: nameless ones are safe.
  statements_.emplace(*connection_, env_.random, pooled_ ? 0 : setup_.statements_max);
  // Behind a pooler another backend serves each transaction: only the flight itself learns which.
  log_.step(FlightLog::Connected{server.incarnation, pooled_ ? BackendIdentity{} : server.backend},
            env_.clock.now());
  inbox_.set_waker(setup_.number, [open = connection_.get()] { open->interrupt(); });
  const Monitor::Lock lock(*metrics_monitor_);
  ++metrics_.connections_opened;
  metrics_.connections_open = 1;
}

void Lane::drop_connection() {
  inbox_.set_waker(setup_.number, {});
  statements_.reset();
  connection_.reset();
  wire_.clear();
  sending_ = 0;
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.connections_open = 0;
}

/// The lane is at its end: the next user of the pool gets the connection, if all went well.
void Lane::leave_connection() {
  const bool keep = !log_.stop_error() && setup_.origin.empty();  // An origin would stay set.
  inbox_.set_waker(setup_.number, {});
  statements_.reset();
  keep ? connection_.give_back() : connection_.drop();
  const Monitor::Lock lock(*metrics_monitor_);
  metrics_.connections_open = 0;
  metrics_.lanes_failing = 0;  // It does not try any more.
}

void Lane::lost(Error error) {
  std::ignore = handle_answers();  // What arrived before the break counts.
  const TimePoint now = env_.clock.now();
  const uint64_t sent = connection_->session().sent_position();
  for (const FlightLog::Seq seq : wire_) {
    const Flight::Attempt& attempt = flight(seq).attempt;
    const bool handed = attempt.commit_end > 0 && sent >= attempt.commit_end;
    if (handed) log_.step(FlightLog::CommitHanded{seq}, now);
  }
  if (fatal_) error = std::move(*fatal_);
  note_error(error);
  {
    const Monitor::Lock lock(*metrics_monitor_);
    metrics_.failed_writes += wire_.size();
    ++metrics_.connections_broken;
  }
  drop_connection();
  log_.step(FlightLog::Lost{std::move(error)}, now);
  count_in_flight();
}

void Lane::fence_backend(const BackendIdentity& backend) {
  const auto fenced = fence(*connection_, backend, env_.clock.now() + kFenceTimeout);
  if (connection_->broken()) return lost(fenced ? Error{} : fenced.error());
  if (fenced) {
    log_.step(FlightLog::Fenced{}, env_.clock.now());
  } else {
    note_error(fenced.error());
    log_.step(FlightLog::FenceFailed{fenced.error()}, env_.clock.now());
  }
}

/// A pooler may have led the question to another server than the one that it showed us first, where
/// the number belongs to somebody else's transaction.
bool Lane::meets_one_server() {
  if (connection_->is_direct()) return true;
  bool read_only = false;
  const auto now =
      read_identity(*connection_, env_.random, read_only, env_.clock.now() + kStatusTimeout);
  return now && now->incarnation == connection_->server().incarnation;
}

void Lane::ask_status(FlightLog::Seq seq, uint64_t xid) {
  const std::optional<std::string> parameter = std::to_string(xid);
  const auto answer = connection_->query(sql_text(Sql::kXactStatus), std::span(&parameter, 1),
                                         env_.clock.now() + kStatusTimeout);
  if (connection_->broken()) return lost(answer ? Error{} : answer.error());
  XactStatus status = XactStatus::kTooOld;
  if (!answer) {
    status = XactStatus::kInFuture;  // 22023 "transaction ID … is in the future", or worse.
  } else if (answer->scalar() == "committed") {
    status = meets_one_server() ? XactStatus::kCommitted : XactStatus::kInFuture;
  } else if (answer->scalar() == "aborted") {
    status = XactStatus::kAborted;
  } else if (answer->scalar() == "in progress") {
    status = XactStatus::kInProgress;
  }
  const auto committed = log_.step(FlightLog::StatusAnswered{seq, status}, env_.clock.now());
  if (committed) on_committed(*committed);
}

}  // namespace pgsink
