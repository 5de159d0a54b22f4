// replicate(): batches from a source into a sink, and confirmations back.

#include <algorithm>
#include <memory>
#include <new>
#include <tuple>
#include <utility>

#include "pgsink/client/connection.h"
#include "pgsink/delivery/two_phase.h"
#include "pgsink/delivery/writer_sessions.h"
#include "pgsink/options/open_retry.h"
#include "pgsink/options/server.h"
#include "pgsink/sink.h"
#include "pgsink/source.h"
#include "pgsink/sql/control.h"
#include "pgsink/sql/sql.h"

namespace pgsink {
namespace {

/// How often `goes_on` is called while no batch comes.
constexpr std::chrono::milliseconds kPause{100};
/// TRUNCATE waits for readers of the table.
constexpr Duration kTruncateTimeout = std::chrono::seconds(60);

/// Truncations empties the sink's table, each time in a session of its own. The next writer locks
/// these out, as it does the sink's own sessions: a process that was stopped before its TRUNCATE,
/// or killed while that waited for a lock, must not remove newer rows.
class Truncations {
 public:
  Truncations(const SinkOptions& options, Env& env)
      : options_(options),
        env_(env),
        sessions_(options.schema, stored_sink_id(options) + " truncates", env.random) {}

  /// Makes this the only one. To be called before the first row is written.
  Status take_over() {
    auto connection = connect();
    if (!connection) return fail_at(options_, connection.error());
    const Status alone = sessions_.take_over(**connection, deadline());
    return alone ? alone : fail_at(options_, alone.error());
  }

  /// Fails with kFenced if another one has taken over.
  Status run() {
    auto connection = connect();
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

 private:
  Result<std::unique_ptr<Connection>> connect() const {
    const auto connect = to_connect_options(options_, env_.files);
    if (!connect) return fail(connect.error());
    return OpenRetry(options_, env_).run([&] { return Connection::open(env_, *connect); });
  }
  Deadline deadline() const { return env_.clock.now() + kTruncateTimeout; }

  const SinkOptions& options_;
  Env& env_;
  WriterSessions sessions_;
};

/// Moves one batch; nothing if none came.
Status move_batch(Source& source, Sink& sink, Truncations& truncations) {
  auto batch = source.next(kPause);
  if (!batch) return fail(batch.error());
  if (*batch && (*batch)->truncate) {
    // Earlier rows must be in the table first, so that they are removed too.
    if (auto flushed = sink.flush(); !flushed) return flushed;
    if (auto emptied = truncations.run(); !emptied) return emptied;
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
    Truncations truncations(options, *env);
    if (auto alone = truncations.take_over(); !alone) return alone;
    auto memory = remember_in_target(options, source.replication_slot(), env);
    const Status started = source.start((*sink)->durable_position(), std::move(memory));
    if (!started) return started;
    Status moved;
    while (moved && goes_on()) {
      moved = (*sink)->status();
      if (moved) moved = move_batch(source, **sink, truncations);
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
