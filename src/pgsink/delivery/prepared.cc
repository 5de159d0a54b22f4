#include "pgsink/delivery/prepared.h"

#include <map>
#include <string_view>
#include <utility>
#include <vector>

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
// already is left alone: a pooler gives it to other clients, whose role would change too.
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

}  // namespace pgsink
