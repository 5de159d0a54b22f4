#include "pgsink/lane/outcome.h"

#include "pgsink/client/identity.h"
#include "pgsink/lane/attempt_mark.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// If a backend has not ended after this time, it will not end by pg_terminate_backend().
constexpr Duration kFenceTimeout = std::chrono::seconds(10);
constexpr Duration kStatusTimeout = std::chrono::seconds(10);

/// A pooler may have sent the question to another server than before, where the id belongs to
/// another transaction.
bool meets_one_server(Connection& connection, Env& env) {
  if (connection.is_direct()) return true;
  bool read_only = false;
  const auto now =
      read_identity(connection, env.random, read_only, env.clock.now() + kStatusTimeout);
  return now && now->incarnation == connection.server().incarnation;
}

XactStatus status_of(const std::string& answer, Connection& connection, Env& env) {
  if (answer == "committed") {
    return meets_one_server(connection, env) ? XactStatus::kCommitted : XactStatus::kInFuture;
  }
  if (answer == "aborted") return XactStatus::kAborted;
  if (answer == "in progress") return XactStatus::kInProgress;
  return XactStatus::kTooOld;
}

Result<FlightLog::Event> fence_backend(const FlightLog::Action& action, Connection& connection,
                                       Env& env) {
  std::string waiting;
  const auto fenced = fence(connection, action.backend, env.clock.now() + kFenceTimeout, &waiting);
  if (connection.broken()) return fail(fenced ? Error{} : fenced.error());
  if (!fenced) return FlightLog::FenceFailed{fenced.error()};
  return FlightLog::Fenced{last_attempt(waiting)};
}

Result<FlightLog::Event> ask_status(const FlightLog::Action& action, Connection& connection,
                                    Env& env) {
  const std::optional<std::string> xid = std::to_string(action.xid);
  const auto answer = connection.query(sql_text(Sql::kXactStatus), std::span(&xid, 1),
                                       env.clock.now() + kStatusTimeout);
  if (connection.broken()) return fail(answer ? Error{} : answer.error());
  // 22023 "transaction ID … is in the future", or worse.
  const auto status = answer ? status_of(answer->scalar(), connection, env) : XactStatus::kInFuture;
  return FlightLog::StatusAnswered{action.seq, status};
}

}  // namespace

Result<FlightLog::Event> ask_outcome(const FlightLog::Action& action, const Flight& flight,
                                     FlightLog::Seq committed_prefix, LaneDelivery& delivery,
                                     Connection& connection, Env& env) {
  using ActionKind = FlightLog::Action::Kind;
  if (action.kind == ActionKind::kFence) return fence_backend(action, connection, env);
  if (action.kind == ActionKind::kAskStatus) return ask_status(action, connection, env);
  const auto done = delivery.is_done(connection, flight, committed_prefix);
  if (connection.broken()) return fail(done ? Error{} : done.error());
  if (!done) return FlightLog::ResolveFailed{done.error()};
  return FlightLog::Resolved{action.seq, *done};
}

}  // namespace pgsink
