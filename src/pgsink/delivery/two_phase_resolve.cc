// Existing prepared transactions: committing them, rolling them back, listing them.

#include <algorithm>
#include <map>
#include <utility>

#include "pgsink/delivery/two_phase.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

// Between two tries at a transaction that another session is resolving.
constexpr std::string_view kSleepSeconds = "0.02";

std::unexpected<Error> cannot_become(const std::string& owner, const std::string& gid,
                                     const Error& cause) {
  Error error = cause;
  error.code = Errc::kPrivilege;
  error.message = "prepared transaction '" + gid + "' belongs to role \"" + owner +
                  "\", and this session may not become that role (" + cause.message +
                  "): GRANT it to the role that logs in, or resolve it as that role or a superuser";
  return fail(std::move(error));
}

/// Resolves the transactions of one owner, as the session's current role.
class Resolver {
 public:
  Resolver(Env& env, Connection& connection, Resolution resolution, Deadline deadline)
      : env_(env), connection_(connection), resolution_(resolution), deadline_(deadline) {}

  Status run(std::vector<std::string> gids) {
    while (!gids.empty()) {
      if (auto tried = try_each(gids); !tried) return tried;
      if (gids.empty()) break;
      if (deadline_ != kNoDeadline && env_.clock.now() >= deadline_) {
        return fail(Errc::kTimeout,
                    "another session has been resolving prepared transaction '" + gids.front() +
                        "' for too long: find it in pg_stat_activity and end it, or try again");
      }
      if (auto slept = connection_.query(sql_text(Sql::kSleep, {kSleepSeconds}), deadline_);
          !slept) {
        return fail(slept.error());
      }
    }
    return {};
  }
  size_t resolved() const { return resolved_; }

 private:
  /// One round; those that are busy stay in `gids`.
  Status try_each(std::vector<std::string>& gids) {
    const Sql id =
        resolution_ == Resolution::kCommit ? Sql::kCommitPrepared : Sql::kRollbackPrepared;
    Quoted quoted;
    std::vector<std::string> statements;
    statements.reserve(gids.size());
    for (const std::string& gid : gids) {
      statements.push_back(sql_text(id, {quoted.literal(gid)}));
    }
    if (!quoted.status()) return quoted.status();
    const auto results = connection_.query_each(statements, deadline_);
    if (!results) return fail(results.error());
    std::vector<std::string> busy;
    Status status;
    for (size_t i = 0; i < gids.size(); ++i) {
      const auto& result = (*results)[i];
      if (result) {
        ++resolved_;
      } else if (result.error().sqlstate == "55000") {
        busy.push_back(gids[i]);
      } else if (result.error().sqlstate != "42704" && status) {
        Error error = result.error();
        error.message = "prepared transaction '" + gids[i] + "': " + error.message;
        status = fail(std::move(error));
      }
    }
    gids = std::move(busy);
    return status;
  }

  Env& env_;
  Connection& connection_;
  Resolution resolution_;
  Deadline deadline_;
  size_t resolved_ = 0;
};

// A dropped role leaves no owner: then a superuser may resolve them. A session that is the owner
// already is left alone, because behind a pooler its role would change for other clients.
Status resolve_as(Connection& connection, Resolver& resolver, const std::string& owner, bool own,
                  const std::vector<std::string>& gids, Deadline deadline) {
  if (owner.empty() || own) return resolver.run(gids);
  Quoted quoted;
  const std::string take = sql_text(Sql::kTakeRole, {quoted.identifier(owner)});
  if (!quoted.status()) return quoted.status();
  if (auto taken = connection.query(take, deadline); !taken) {
    if (connection.broken()) return fail(taken.error());
    return cannot_become(owner, gids.front(), taken.error());
  }
  const Status done = resolver.run(gids);
  if (connection.broken()) return done;
  const auto given_back = connection.query(sql_text(Sql::kGiveBackRole), deadline);
  if (done && !given_back) return fail(given_back.error());
  return done;
}

}  // namespace

Result<size_t> resolve_prepared(Env& env, Connection& connection,
                                std::span<const PreparedTransaction> transactions,
                                Resolution resolution, Deadline deadline) {
  std::map<std::string, std::vector<std::string>> by_owner;
  for (const PreparedTransaction& one : transactions) by_owner[one.owner].push_back(one.gid);
  if (by_owner.empty()) return 0;
  const auto role = connection.query(sql_text(Sql::kCurrentRole), deadline);
  if (!role) return fail(role.error());
  Resolver resolver(env, connection, resolution, deadline);
  Status status;
  // A failure of one owner must not leave the transactions of others in doubt.
  for (const auto& [owner, gids] : by_owner) {
    const Status done =
        resolve_as(connection, resolver, owner, owner == role->scalar(), gids, deadline);
    if (connection.broken()) return fail(done.error());
    if (status) status = done;
  }
  if (!status) return fail(status.error());
  return resolver.resolved();
}

// ---- of one sink -------------------------------------------------------------------------------

Result<std::vector<TwoPhase::Decision>> TwoPhase::decisions(Connection& connection,
                                                            Deadline deadline) const {
  const auto rows = run_control(
      connection, sql_text(Sql::kDecisionRead, {quoted_schema_, quoted_sink_}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<Decision> found;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const uint64_t epoch = parse_number(cell(*rows, i, 0));
    if (found.empty() || found.back().epoch != epoch) {
      found.push_back({epoch,
                       {parse_number(cell(*rows, i, 1)), cell(*rows, i, 2)},
                       cell(*rows, i, 3) == "t",
                       {},
                       {}});
    }
    if (!rows->rows[i][4]) continue;
    found.back().gids.push_back(cell(*rows, i, 4));
    if (cell(*rows, i, 6) == "t") {
      found.back().present.push_back({cell(*rows, i, 4), cell(*rows, i, 5)});
    }
  }
  return found;
}

Result<std::optional<uint64_t>> TwoPhase::first_waiting(Connection& connection,
                                                        Deadline deadline) const {
  const auto found = decisions(connection, deadline);
  if (!found) return fail(found.error());
  for (const Decision& decision : *found) {
    if (!decision.decided) return decision.epoch;
  }
  return std::nullopt;
}

Result<size_t> TwoPhase::commit_decided(Env& env, Connection& connection, Deadline deadline) const {
  const auto found = decisions(connection, deadline);
  if (!found) return fail(found.error());
  std::vector<PreparedTransaction> present;
  uint64_t last = 0;
  bool any = false;
  for (const Decision& decision : *found) {
    if (!decision.decided) continue;
    any = true;
    last = decision.epoch;
    present.insert(present.end(), decision.present.begin(), decision.present.end());
  }
  if (!any) return 0;
  const auto committed = resolve_prepared(env, connection, present, Resolution::kCommit, deadline);
  if (!committed) return committed;
  // Only now, and only what was read: a new writer relies on the row.
  const auto dropped =
      run_control(connection,
                  sql_text(Sql::kDecisionDrop, {quoted_schema_, quoted_schema_, quoted_sink_,
                                                std::to_string(generation_), std::to_string(last)}),
                  deadline);
  if (!dropped) return fail(dropped.error());
  return committed;
}

Status TwoPhase::abort(Env& env, Connection& connection, uint64_t epoch, Deadline deadline) const {
  // First make sure that nothing more is prepared, then that nothing recorded is committed, then
  // roll back.
  if (auto alone = fence_others(connection, deadline); !alone) return alone;
  const auto now = read(connection, deadline);
  if (!now) return fail(now.error());
  if (!*now || (*now)->generation != generation_) return fail(fenced(*now));
  if ((*now)->epoch >= epoch) {
    return fail(Errc::kResolveRefused, "epoch " + std::to_string(epoch) + " of sink \"" + sink_id_ +
                                           "\" is decided: it will be committed");
  }
  const auto forgotten = run_control(
      connection,
      sql_text(Sql::kDecisionForget, {quoted_schema_, quoted_schema_, quoted_sink_,
                                      std::to_string(generation_), std::to_string(epoch)}),
      deadline);
  if (!forgotten) return fail(forgotten.error());
  const auto done = roll_back_unnamed(env, connection, std::span(&gid_prefix(), 1), deadline);
  if (!done) return fail(done.error());
  return {};
}

/// Rolls back every transaction with one of the prefixes that no row of pgsink_decisions names.
Result<size_t> TwoPhase::roll_back_unnamed(Env& env, Connection& connection,
                                           std::span<const std::string> prefixes,
                                           Deadline deadline) const {
  const auto named = decisions(connection, deadline);
  if (!named) return fail(named.error());
  const auto array = sql_array(prefixes);
  if (!array) return fail(array.error());
  const auto rows = run_control(connection, sql_text(Sql::kPreparedList, {*array}), deadline);
  if (!rows) return fail(rows.error());
  std::vector<PreparedTransaction> left;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string gid = cell(*rows, i, 0);
    const bool has_name = std::ranges::any_of(*named, [&](const Decision& decision) {
      return std::ranges::find(decision.gids, gid) != decision.gids.end();
    });
    if (!has_name) left.push_back({gid, cell(*rows, i, 1)});
  }
  return resolve_prepared(env, connection, left, Resolution::kRollback, deadline);
}

// The host knows that these epochs are complete; the decision did not come through to us.
Status TwoPhase::decide_recorded(Connection& connection, uint64_t host_epoch,
                                 Deadline deadline) const {
  const auto found = decisions(connection, deadline);
  if (!found) return fail(found.error());
  const Decision* last = nullptr;
  for (const Decision& decision : *found) {
    if (decision.decided || decision.epoch > host_epoch) continue;
    last = &decision;
    if (decision.present.size() == decision.gids.size()) continue;
    return fail(Errc::kNoPreparedTransaction,
                "epoch " + std::to_string(decision.epoch) + " of sink \"" + sink_id_ +
                    "\" is to be committed, but only " + std::to_string(decision.present.size()) +
                    " of its " + std::to_string(decision.gids.size()) +
                    " prepared transactions are there: somebody resolved the others by hand. "
                    "Compare the table with the source; then delete the epoch's row in " +
                    quoted_schema_ + "." +
                    std::string(control_table_name(ControlTable::kDecisions)) +
                    " and go back to an epoch before it");
  }
  if (last == nullptr) return {};
  return decide(connection, last->epoch, last->position, last->gids, deadline);
}

Result<TwoPhase::Recovered> TwoPhase::recover(Env& env, Connection& connection,
                                              std::optional<uint64_t> host_epoch,
                                              Deadline deadline) const {
  Recovered recovered;
  if (host_epoch) {
    if (auto done = decide_recorded(connection, *host_epoch, deadline); !done) {
      return fail(done.error());
    }
  }
  const auto committed = commit_decided(env, connection, deadline);
  if (!committed) return fail(committed.error());
  recovered.committed = *committed;
  // The rest was never decided. First remove it from the records, then roll it back.
  const auto forgotten = run_control(
      connection,
      sql_text(Sql::kDecisionForget,
               {quoted_schema_, quoted_schema_, quoted_sink_, std::to_string(generation_), "0"}),
      deadline);
  if (!forgotten) return fail(forgotten.error());
  const auto row = read(connection, deadline);
  if (!row) return fail(row.error());
  if (!*row || (*row)->generation != generation_) return fail(fenced(*row));
  recovered.epoch = (*row)->epoch;
  recovered.position = (*row)->position;
  const auto prefixes = run_control(
      connection, sql_text(Sql::kWriterPrefixes, {quoted_schema_, quoted_sink_}), deadline);
  if (!prefixes) return fail(prefixes.error());
  std::vector<std::string> fixed;
  fixed.reserve(prefixes->rows.size());
  for (size_t i = 0; i < prefixes->rows.size(); ++i) fixed.push_back(cell(*prefixes, i, 0));
  const auto rolled_back = roll_back_unnamed(env, connection, fixed, deadline);
  if (!rolled_back) return fail(rolled_back.error());
  recovered.rolled_back = *rolled_back;
  Quoted quoted;
  const auto tidy =
      run_control(connection,
                  sql_text(Sql::kWriterTidy, {quoted_schema_, quoted.literal(gid_prefix()),
                                              quoted_sink_, std::to_string(generation_)}),
                  deadline);
  if (!tidy) return fail(tidy.error());
  return recovered;
}

// ---- lists for users ----------------------------------------------------------------------------

namespace {

struct KnownSink {
  std::string schema, sink_id, prefix, writer;
};
struct KnownGid {
  std::string sink_id;
  uint64_t epoch = 0;
  bool decided = false;
};

/// The session that writes for a sink now; "" if none does.
Result<std::string> current_writer(Connection& connection, const std::string& schema,
                                   const std::string& sink_id, Deadline deadline) {
  const uint64_t key = writer_lock_key(schema, sink_id);
  const auto rows = run_control(
      connection,
      sql_text(Sql::kWriterSessions,
               {std::to_string(key >> 32), "=", std::to_string(key & 0xffffffffU), kBothForms}),
      deadline);
  if (!rows) return fail(rows.error());
  if (rows->rows.empty()) return std::string();
  std::string text = "server process " + cell(*rows, 0, 0);
  if (!cell(*rows, 0, 3).empty()) {
    text += " of \"" + cell(*rows, 0, 3) + "\" from " + cell(*rows, 0, 4);
  }
  return text;
}

Status read_schema(Connection& connection, const std::string& schema, std::vector<KnownSink>& sinks,
                   std::map<std::string, KnownGid>& gids, Deadline deadline) {
  Quoted quoted;
  const std::string name = quoted.identifier(schema);
  if (!quoted.status()) return quoted.status();
  const auto rows = run_control(connection, sql_text(Sql::kSinkList, {name}), deadline);
  if (!rows) return fail(rows.error());
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    KnownSink sink{schema, cell(*rows, i, 0), cell(*rows, i, 1), {}};
    auto writer = current_writer(connection, schema, sink.sink_id, deadline);
    if (!writer) return fail(writer.error());
    sink.writer = *std::move(writer);
    sinks.push_back(std::move(sink));
  }
  const auto listed = run_control(connection, sql_text(Sql::kDecisionList, {name}), deadline);
  if (!listed) return fail(listed.error());
  for (size_t i = 0; i < listed->rows.size(); ++i) {
    gids[cell(*listed, i, 3)] = {cell(*listed, i, 0), parse_number(cell(*listed, i, 1)),
                                 cell(*listed, i, 2) == "t"};
  }
  return {};
}

}  // namespace

Result<std::vector<InDoubt>> list_in_doubt(Connection& connection, Deadline deadline) {
  const auto schemas = run_control(connection, sql_text(Sql::kSinkTables), deadline);
  if (!schemas) return fail(schemas.error());
  std::vector<KnownSink> sinks;
  std::map<std::string, KnownGid> gids;
  for (size_t i = 0; i < schemas->rows.size(); ++i) {
    if (auto read = read_schema(connection, cell(*schemas, i, 0), sinks, gids, deadline); !read) {
      return fail(read.error());
    }
  }
  const auto rows = run_control(connection, sql_text(Sql::kPreparedAll), deadline);
  if (!rows) return fail(rows.error());
  std::vector<InDoubt> found;
  for (size_t i = 0; i < rows->rows.size(); ++i) {
    const std::string gid = cell(*rows, i, 0);
    const auto sink = std::ranges::find_if(
        sinks, [&](const KnownSink& one) { return gid.starts_with(one.prefix); });
    if (sink == sinks.end()) continue;
    InDoubt one{{gid, cell(*rows, i, 1)},
                cell(*rows, i, 2),
                sink->schema,
                sink->sink_id,
                {},
                false,
                sink->writer};
    if (const auto known = gids.find(gid); known != gids.end()) {
      one.epoch = known->second.epoch;
      one.decided = known->second.decided;
    }
    found.push_back(std::move(one));
  }
  return found;
}

}  // namespace pgsink
