// replicate(): batches from a source into a sink, and confirmations back.

#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

#include "pgsink/client/connection.h"
#include "pgsink/sink.h"
#include "pgsink/sink/control.h"
#include "pgsink/sink/sql.h"
#include "pgsink/sink/target.h"
#include "pgsink/source.h"

namespace pgsink {
namespace {

/// How often `goes_on` is asked while nothing comes.
constexpr std::chrono::milliseconds kPause{100};
/// TRUNCATE waits for whoever reads the table.
constexpr Duration kTruncateTimeout = std::chrono::seconds(60);

/// Empties the sink's table, in a session of its own.
Status empty_target(const SinkOptions& options, Env& env) {
  const auto connect = to_connect_options(options, env.files);
  if (!connect) return fail(connect.error());
  auto connection = Connection::open(env, *connect);
  if (!connection) return fail(connection.error());
  Quoted quoted;
  const std::string table =
      quoted.identifier(options.schema) + "." + quoted.identifier(options.table);
  std::string sql = sql_text(Sql::kTruncate, {table});
  if (!options.set_role.empty()) {
    sql = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; " + sql;
  }
  if (!quoted.status()) return quoted.status();
  const auto done = run_control(**connection, sql, env.clock.now() + kTruncateTimeout, true);
  if (done) return {};
  Error error = done.error();
  error.message =
      "connection \"" + options.connection_name +
      "\": the source's table was truncated, and the target cannot be: " + error.message;
  return fail(std::move(error));
}

/// Moves one batch; nothing if none came.
Status move_batch(Source& source, Sink& sink, const SinkOptions& options, Env& env) {
  auto batch = source.next(kPause);
  if (!batch) return fail(batch.error());
  if (*batch && (*batch)->truncate) {
    // What came before is in the table first, so that it is emptied too.
    if (auto flushed = sink.flush(); !flushed) return flushed;
    if (auto emptied = empty_target(options, env); !emptied) return emptied;
    source.confirm((*batch)->position);
  } else if (*batch) {
    if (auto written = sink.write(std::move((*batch)->rows)); !written) return written;
  }
  source.confirm(sink.durable_position());
  return {};
}

}  // namespace

Status replicate(Source& source, const SinkOptions& options, const std::function<bool()>& goes_on,
                 Env* env) {
  try {
    if (options.write_mode != WriteMode::kChangelog) {
      return fail(Errc::kOptionConflict, "connection \"" + options.connection_name +
                                             "\": replicate() needs write_mode = 'changelog'");
    }
    OsEnv own_env;
    if (env == nullptr) env = &own_env.env();
    auto sink = Sink::open(options, source.schema(), env);
    if (!sink) return fail(sink.error());
    if (auto started = source.start((*sink)->durable_position()); !started) return started;
    Status moved;
    while (moved && goes_on()) moved = move_batch(source, **sink, options, *env);
    const Status closed = (*sink)->close();
    source.confirm((*sink)->durable_position());
    source.close();
    return moved ? closed : moved;
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
