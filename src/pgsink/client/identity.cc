#include "pgsink/client/identity.h"

#include <algorithm>
#include <array>
#include <charconv>

namespace pgsink {

namespace {

constexpr const char* kCommonColumns =
    "SELECT pg_catalog.current_setting('server_version_num'),"
    " pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.pg_backend_pid(),"
    " a.backend_start,"
    " a.usesysid,"
    " pg_catalog.current_setting('synchronous_commit'),"
    " pg_catalog.current_setting('synchronous_standby_names'),"
    " pg_catalog.current_setting('max_prepared_transactions'),"
    " pg_catalog.current_setting('default_transaction_read_only'),"
    " pg_catalog.pg_postmaster_start_time()";

constexpr const char* kFrom =
    " FROM pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) a";

constexpr const char* kIncarnationColumns =
    ", (SELECT c.system_identifier FROM pg_catalog.pg_control_system() c),"
    " CASE WHEN pg_catalog.pg_is_in_recovery() THEN 'standby'"
    "  ELSE pg_catalog.substr(pg_catalog.pg_walfile_name(pg_catalog.pg_current_wal_lsn()), 1, 8)"
    "  END,"
    " (SELECT b.stats_reset FROM pg_catalog.pg_stat_bgwriter b),"
    " pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()),"
    " pg_catalog.inet_client_port()";

// IntervalStyle, extra_float_digits and quote_all_identifiers have these values unless they were
// changed for the role; the texts that pgsink writes and reads must not depend on that. A pooler
// shares the session with other clients, who would get the changed settings, and this client would
// get another session: so they are set only in a backend of our own.
std::string set_if_ours(int32_t our_pid) {
  return ", CASE WHEN pg_catalog.pg_backend_pid() OPERATOR(pg_catalog.=) '" +
         std::to_string(our_pid) +
         "'::pg_catalog.int4"
         " THEN pg_catalog.set_config('IntervalStyle', 'postgres', false)"
         " OPERATOR(pg_catalog.||) pg_catalog.set_config('extra_float_digits', '1', false)"
         " OPERATOR(pg_catalog.||) pg_catalog.set_config('quote_all_identifiers', 'off', false) "
         "END";
}

enum Column : size_t {
  kVersion,
  kInRecovery,
  kPid,
  kBackendStart,
  kRole,
  kSynchronousCommit,
  kSynchronousStandbys,
  kMaxPrepared,
  kReadOnly,
  kPostmasterStart,
  kSystemIdentifier,
  kTimeline,
  kStatsReset,
  kXidEnd,
  kClientPort,
  kSettings,
  kColumnCount,
};

template <typename Integer = int>
Integer to_int(const std::string& text) {
  Integer value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

// Stands for an unreadable value. It equals nothing, so that no answer of this server is ever
// trusted to come from the same incarnation.
std::string unreadable(Random& random) {
  return "unreadable " + std::to_string(random.next_u64()) + std::to_string(random.next_u64());
}

/// Whether the server hides or lacks what was requested: servers that only speak the protocol
/// refuse functions of the WAL with 0A000 or 55000.
bool may_not_or_cannot(const Error& error) {
  static constexpr std::array<std::string_view, 5> kStates{"0A000", "42501", "42883", "42P01",
                                                           "55000"};
  return std::ranges::any_of(kStates,
                             [&](std::string_view state) { return error.sqlstate == state; });
}

}  // namespace

Result<ServerIdentity> read_identity(Connection& connection, Random& random, bool& read_only,
                                     Deadline deadline) {
  const std::string rest = set_if_ours(connection.session().backend_process_id()) + kFrom;
  auto answer =
      connection.query(std::string(kCommonColumns) + kIncarnationColumns + rest, deadline);
  if (!answer && may_not_or_cannot(answer.error())) {
    // A hardened server hides these values: pgsink works, but after a lost COMMIT the outcome is
    // always unknown.
    answer = connection.query(std::string(kCommonColumns) + ", NULL, NULL, NULL, NULL, NULL" + rest,
                              deadline);
  }
  if (!answer) return fail(answer.error());
  if (answer->rows.size() != 1 || answer->rows[0].size() != kColumnCount) {
    return fail(Errc::kProtocol, "the server's answer about its identity is not one row of " +
                                     std::to_string(kColumnCount) + " columns");
  }
  const auto& row = answer->rows[0];
  const auto text = [&](Column column) { return row[column].value_or(""); };
  const auto life = [&](Column column) { return row[column] ? *row[column] : unreadable(random); };
  ServerIdentity identity;
  identity.version = to_int(text(kVersion));
  identity.in_recovery = text(kInRecovery) == "t";
  identity.backend = {to_int<int32_t>(text(kPid)), text(kBackendStart),
                      to_int<uint32_t>(text(kRole))};
  identity.synchronous_commit = text(kSynchronousCommit) != "off";
  identity.synchronous_standbys = !text(kSynchronousStandbys).empty();
  identity.max_prepared_transactions = to_int(text(kMaxPrepared));
  identity.incarnation = {life(kSystemIdentifier), life(kTimeline), life(kPostmasterStart),
                          life(kStatsReset)};
  identity.incarnation_known = row[kSystemIdentifier] && row[kTimeline] && row[kStatsReset];
  identity.xid_end = to_int<uint64_t>(text(kXidEnd));
  identity.client_port = to_int(text(kClientPort));
  read_only = text(kReadOnly) == "on";
  return identity;
}

std::span<const std::string_view> restoring_statements() {
  // RESET ALL, a part of DISCARD ALL, undoes what read_identity() has set.
  static constexpr std::array<std::string_view, 2> kStatements{
      "DISCARD ALL",
      "SELECT pg_catalog.set_config('IntervalStyle', 'postgres', false),"
      " pg_catalog.set_config('extra_float_digits', '1', false),"
      " pg_catalog.set_config('quote_all_identifiers', 'off', false)"};
  return kStatements;
}

// ---- fence --------------------------------------------------------------------------------------

namespace {

// The server checks every tenth of a second whether the backend has ended. Waiting in short steps
// makes our own deadline decide, independent of the server's clock.
constexpr int64_t kTerminateWaitMs = 1000;

constexpr const char* kTerminate =
    "SELECT a.backend_start IS NULL,"
    " CASE WHEN a.backend_start IS NOT NULL"
    "  THEN pg_catalog.pg_terminate_backend(a.pid, $3::pg_catalog.int8) END,"
    " CASE WHEN a.wait_event_type OPERATOR(pg_catalog.=) 'Client' THEN a.query END"
    " FROM pg_catalog.pg_stat_get_activity($1::pg_catalog.int4) a"
    " WHERE (a.backend_start IS NULL"
    "  OR a.backend_start OPERATOR(pg_catalog.=) $2::pg_catalog.timestamptz)"
    " AND $4::pg_catalog.oid IN (0, a.usesysid)";

constexpr const char* kStillRunning = "it is still running at the deadline";

std::unexpected<Error> cannot_fence(const BackendIdentity& backend, const std::string& why) {
  return fail(Errc::kCannotFence, "the old backend (pid " + std::to_string(backend.pid) +
                                      ") may still be running: " + why);
}

/// Tells a backend to end and waits `wait_ms` for it; 0: not at all, and the result is true. True:
/// it has ended. `waiting` is as that of fence().
Result<bool> ask_to_end(Connection& connection, const BackendIdentity& backend, int64_t wait_ms,
                        Deadline deadline, std::string* waiting) {
  if (backend.pid <= 0 || backend.backend_start.empty()) {
    return cannot_fence(backend, "its identity was never read");
  }
  const std::optional<std::string> parameters[] = {std::to_string(backend.pid),
                                                   backend.backend_start, std::to_string(wait_ms),
                                                   std::to_string(backend.role_oid)};
  const auto answer = connection.query(kTerminate, parameters, deadline);
  if (!answer) {
    const Error& error = answer.error();
    if (error.sqlstate == "42501") {
      return cannot_fence(backend,
                          error.message + "; connect as its role, or GRANT pg_signal_backend");
    }
    if (error.code == Errc::kTimeout) return cannot_fence(backend, kStillRunning);
    return fail(error);
  }
  if (answer->rows.empty() || answer->rows[0].size() != 3) return true;  // It has ended already.
  if (waiting != nullptr && waiting->empty()) *waiting = answer->rows[0][2].value_or("");
  if (answer->rows[0][0] == "t") {
    return cannot_fence(backend,
                        "it belongs to another role, and this role may not see it; connect as "
                        "its role, or GRANT pg_read_all_stats and pg_signal_backend");
  }
  return answer->rows[0][1] == "t";
}

}  // namespace

Status fence(Connection& connection, const BackendIdentity& backend, Deadline deadline,
             std::string* waiting) {
  Clock& clock = connection.env_.clock;
  for (;;) {
    int64_t wait_ms = kTerminateWaitMs;
    if (deadline != kNoDeadline) {
      const auto left =
          std::chrono::duration_cast<std::chrono::milliseconds>(deadline - clock.now());
      wait_ms = std::clamp<int64_t>(left.count() / 2, 1, kTerminateWaitMs);
    }
    const auto ended = ask_to_end(connection, backend, wait_ms, deadline, waiting);
    if (!ended) return fail(ended.error());
    if (*ended) return {};
    if (deadline != kNoDeadline && clock.now() >= deadline) {
      return cannot_fence(backend, kStillRunning);
    }
  }
}

Status terminate(Connection& connection, const BackendIdentity& backend, Deadline deadline) {
  const auto asked = ask_to_end(connection, backend, 0, deadline, nullptr);
  return asked ? Status() : fail(asked.error());
}

// ---- silence ------------------------------------------------------------------------------------

namespace {

constexpr Duration kLookTimeout = std::chrono::seconds(10);

// Rows of other roles are hidden from most roles; a connection asks about its own.
constexpr const char* kLook =
    "SELECT a.state, a.wait_event_type, a.state_change"
    " FROM pg_catalog.pg_stat_get_activity($1::pg_catalog.int4) a"
    " WHERE a.backend_start OPERATOR(pg_catalog.=) $2::pg_catalog.timestamptz";

bool is_of_transport(const Error& error) {
  return error.code == Errc::kConnect || error.code == Errc::kConnectionLost ||
         error.code == Errc::kTimeout;
}

}  // namespace

namespace {

constexpr const char* kLookBehindPooler =
    "SELECT pg_catalog.count(*) FILTER (WHERE"
    "  pg_catalog.left(a.state, 4) OPERATOR(pg_catalog.<>) 'idle'"
    "  AND COALESCE(a.wait_event_type, '') OPERATOR(pg_catalog.<>) 'Client'),"
    " pg_catalog.max(a.state_change)"
    " FROM pg_catalog.pg_stat_get_activity(NULL) a,"
    " pg_catalog.pg_stat_get_activity(pg_catalog.pg_backend_pid()) me"
    " WHERE a.usesysid OPERATOR(pg_catalog.=) me.usesysid"
    " AND a.application_name OPERATOR(pg_catalog.=) $1"
    " AND a.pid OPERATOR(pg_catalog.<>) me.pid";

/// A pooler that has no session to lend answers as late as a dead one.
BackendLook look_behind_pooler(const SilenceWatch& watch) {
  using Kind = BackendLook::Kind;
  const auto opened = Connection::open(*watch.env, *watch.options, watch.salted_keys);
  if (!opened) return {};
  const std::string& name = watch.options->application_name;
  const std::optional<std::string> parameters[] = {name};
  const auto row =
      (*opened)->query(kLookBehindPooler, parameters, watch.env->clock.now() + kLookTimeout);
  if (!row || row->rows.empty() || row->rows[0][0] != "0") return {};
  const std::string since = row->rows[0][1].value_or("");
  return {Kind::kWaits, since,
          "through the pooler no session of \"" + name + "\" works" +
              (since.empty() ? "" : " (since " + since + ")")};
}

}  // namespace

BackendLook look_at_backend(const SilenceWatch& watch, const ServerIdentity& server,
                            bool is_direct) {
  if (!is_direct) return look_behind_pooler(watch);
  using Kind = BackendLook::Kind;
  const auto opened = Connection::open(*watch.env, *watch.options, watch.salted_keys);
  if (!opened) {
    const Error& error = opened.error();
    // A server that is full or starting up answers.
    const bool nobody = is_of_transport(error) && !error.sqlstate.is_set();
    return {nobody ? Kind::kNoServer : Kind::kWorks, {}, error.message};
  }
  Connection& connection = **opened;
  const bool known = server.incarnation_known && connection.server().incarnation_known;
  if (known && connection.server().incarnation != server.incarnation) {
    return {Kind::kGone, {}, "another server answers at that address, or it was restarted"};
  }
  const std::optional<std::string> parameters[] = {std::to_string(server.backend.pid),
                                                   server.backend.backend_start};
  const auto row = connection.query(kLook, parameters, watch.env->clock.now() + kLookTimeout);
  if (!row) return {connection.broken() ? Kind::kNoServer : Kind::kWorks, {}, row.error().message};
  if (row->rows.empty()) return {Kind::kGone, {}, "the server has no such session any more"};
  const auto text = [&](size_t column) { return row->rows[0][column].value_or(""); };
  const std::string state = text(0);
  // Nothing is tracked, or it is hidden.
  if (state.empty() || state == "disabled") return {};
  const bool waits = state.starts_with("idle") || text(1) == "Client";
  if (!waits) return {};
  return {Kind::kWaits, state + " " + text(2),
          "the server's session waits for this client (" + state + " since " + text(2) + ")"};
}

}  // namespace pgsink
