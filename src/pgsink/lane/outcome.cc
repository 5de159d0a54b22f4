#include "pgsink/lane/outcome.h"

#include <limits>

#include "pgsink/client/identity.h"
#include "pgsink/lane/attempt_mark.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// If a backend has not ended after this time, it will not end by pg_terminate_backend().
constexpr Duration kFenceTimeout = std::chrono::seconds(10);
constexpr Duration kStatusTimeout = std::chrono::seconds(10);
// To look at more would take the server longer than a few milliseconds, and on a server with that
// many other transactions the answer would be of no use.
constexpr uint64_t kIdsCountedMax = 10'000;

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
    return meets_one_server(connection, env) ? XactStatus::kCommitted : XactStatus::kTooOld;
  }
  if (answer == "aborted") return XactStatus::kAborted;
  if (answer == "in progress") return XactStatus::kInProgress;
  return XactStatus::kTooOld;
}

Result<FlightLog::Event> fence_backend(const FlightLog::Action& action, Connection& connection,
                                       Env& env, OwnAtFence& own) {
  std::string waiting;
  const auto fenced = fence(connection, action.backend, env.clock.now() + kFenceTimeout, &waiting);
  if (connection.broken()) return fail(fenced ? Error{} : fenced.error());
  if (!fenced) return FlightLog::FenceFailed{fenced.error()};
  const auto end = connection.query(sql_text(Sql::kXidEnd), env.clock.now() + kStatusTimeout);
  if (connection.broken()) return fail(end ? Error{} : end.error());
  own.sent = own.own.sent();
  return FlightLog::Fenced{.last_attempt = last_attempt(waiting),
                           .xid_end = end ? parse_number(end->scalar()) : 0};
}

/// Which transactions committed since one that is known to be older than those without an id.
Result<FlightLog::Event> count_commits(const FlightLog::Action& action, Connection& connection,
                                       Env& env, OwnAtFence& own) {
  const FlightLog::CommitsCounted any{.others = std::numeric_limits<uint64_t>::max()};
  if (action.xid >= action.xid_end) return FlightLog::CommitsCounted{};
  if (action.xid_end - action.xid > kIdsCountedMax) return any;
  const std::optional<std::string> range[] = {std::to_string(action.xid),
                                              std::to_string(action.xid_end)};
  const auto answer =
      connection.query(sql_text(Sql::kCommitsBetween), range, env.clock.now() + kStatusTimeout);
  if (connection.broken()) return fail(answer ? Error{} : answer.error());
  if (!answer) return any;
  std::vector<uint64_t> committed;
  committed.reserve(answer->rows.size());
  for (size_t row = 0; row < answer->rows.size(); ++row) {
    committed.push_back(parse_number(cell(*answer, row, 0)));
  }
  // In this order: an id may become known in between.
  const bool is_final =
      own.own.knows_all(own.sent, own.lane) || own.own.count_others(committed) == 0;
  const uint64_t others = is_final ? own.own.claim_others(committed, action.without_xid)
                                   : own.own.count_others(committed);
  return FlightLog::CommitsCounted{.others = others, .is_final = is_final};
}

Result<FlightLog::Event> ask_status(const FlightLog::Action& action, Connection& connection,
                                    Env& env) {
  const std::optional<std::string> xid = std::to_string(action.xid);
  const auto answer = connection.query(sql_text(Sql::kXactStatus), std::span(&xid, 1),
                                       env.clock.now() + kStatusTimeout);
  if (connection.broken()) return fail(answer ? Error{} : answer.error());
  // "transaction ID … is in the future"
  const bool in_future = !answer && answer.error().sqlstate == "22023" && connection.is_direct();
  const auto status = answer      ? status_of(answer->scalar(), connection, env)
                      : in_future ? XactStatus::kInFuture
                                  : XactStatus::kTooOld;
  return FlightLog::StatusAnswered{action.seq, status};
}

}  // namespace

Result<FlightLog::Event> ask_outcome(const FlightLog::Action& action, const Flight& flight,
                                     FlightLog::Seq committed_prefix, LaneDelivery& delivery,
                                     Connection& connection, Env& env, OwnAtFence& own) {
  using ActionKind = FlightLog::Action::Kind;
  if (action.kind == ActionKind::kFence) return fence_backend(action, connection, env, own);
  if (action.kind == ActionKind::kCountCommits) {
    return count_commits(action, connection, env, own);
  }
  if (action.kind == ActionKind::kAskStatus) return ask_status(action, connection, env);
  const auto done = delivery.is_done(connection, flight, committed_prefix);
  if (connection.broken()) return fail(done ? Error{} : done.error());
  if (!done) return FlightLog::ResolveFailed{done.error()};
  return FlightLog::Resolved{action.seq, *done};
}

}  // namespace pgsink
