#include "pgsink/sink/truncations.h"

#include <string>
#include <utility>

#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// TRUNCATE waits for readers of the table.
constexpr Duration kTruncateTimeout = std::chrono::seconds(60);

}  // namespace

Result<std::unique_ptr<Connection>> connect_beside(const SinkOptions& options, Env& env) {
  const auto connect = to_connect_options(options, env.files);
  if (!connect) return fail(connect.error());
  return OpenRetry(options, env).run([&] { return Connection::open(env, *connect); });
}

Truncations::Truncations(const SinkOptions& options, Env& env)
    : options_(options),
      env_(env),
      sessions_(options.schema, stored_sink_id(options) + " truncates", env.random) {}

Deadline Truncations::deadline() const { return env_.clock.now() + kTruncateTimeout; }

Status Truncations::take_over(Connection& connection) {
  const Status alone = sessions_.take_over(connection, deadline());
  return alone ? alone : fail_at(options_, alone.error());
}

Status Truncations::run() {
  auto connection = connect_beside(options_, env_);
  if (!connection) return fail(connection.error());
  if (auto joined = sessions_.join(**connection, deadline()); !joined) return joined;
  Quoted quoted;
  const std::string table =
      quoted.identifier(options_.schema) + "." + quoted.identifier(options_.table);
  std::string sql = sessions_.transaction_sql(false);
  if (!options_.set_role.empty()) {
    sql += sql_text(Sql::kSetRole, {quoted.identifier(options_.set_role)}) + "; ";
  }
  sql += sql_text(Sql::kTruncate, {table});
  if (!quoted.status()) return quoted.status();
  const auto done = run_control(**connection, sql, deadline(), true);
  if (done) return {};
  if (WriterGeneration::is_guard_failure(done.error())) {
    if (auto newest = sessions_.check_newest(**connection, deadline()); !newest) return newest;
  }
  Error error = done.error();
  error.message =
      "connection \"" + options_.connection_name +
      "\": the source's table was truncated, and the target cannot be: " + error.message;
  return fail(std::move(error));
}

}  // namespace pgsink
