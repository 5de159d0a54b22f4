// replicate(): batches from a source into a sink, and confirmations back.

#include <algorithm>
#include <new>
#include <tuple>
#include <utility>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/two_phase.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/options/server.h"
#include "pgsink/sink.h"
#include "pgsink/source.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

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
  // The rest of a killed process must not do it later, when there are new rows.
  WriterSessions sessions(options.schema, stored_sink_id(options) + " truncates", env.random);
  const Deadline deadline = env.clock.now() + kTruncateTimeout;
  if ((*connection)->is_direct()) {
    if (auto alone = sessions.take_over(**connection, deadline); !alone) return alone;
  }
  Quoted quoted;
  const std::string table =
      quoted.identifier(options.schema) + "." + quoted.identifier(options.table);
  std::string sql = sql_text(Sql::kTruncate, {table});
  if (!options.set_role.empty()) {
    sql = sql_text(Sql::kSetRole, {quoted.identifier(options.set_role)}) + "; " + sql;
  }
  if (!quoted.status()) return quoted.status();
  const auto done = run_control(**connection, sql, deadline, true);
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

SinkOptions with_sink_id(SinkOptions options, const Source& source) {
  const bool at_least_once = options.delivery == Delivery::kAtLeastOnce && !options.use_2pc;
  if (!at_least_once || !options.sink_id.empty()) return options;
  options.sink_id = stored_sink_id(options) + " from " + std::string(source.replication_slot());
  return options;
}

}  // namespace

Status replicate(Source& source, const SinkOptions& given, const std::function<bool()>& goes_on,
                 Env* env) {
  try {
    const SinkOptions options = with_sink_id(given, source);
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
    while (moved && goes_on()) {
      moved = (*sink)->status();
      if (moved) moved = move_batch(source, **sink, options, *env);
    }
    const Status closed = (*sink)->close();
    source.confirm((*sink)->durable_position());
    source.close();
    return moved ? closed : moved;
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

}  // namespace pgsink
