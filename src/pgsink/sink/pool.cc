#include "pgsink/sink/pool.h"

#include <new>
#include <utility>

#include "pgsink/options/rules.h"
#include "pgsink/options/server.h"
#include "pgsink/pool.h"

namespace pgsink {

Result<std::shared_ptr<Pool>> make_sink_pool(const SinkOptions& options, Env* env, bool shared) {
  std::shared_ptr<OsEnv> own_env;
  if (env == nullptr) {
    own_env = std::make_shared<OsEnv>();
    env = &own_env->env();
  }
  auto connect = to_connect_options(options, env->files);
  if (!connect) return fail(connect.error());
  return Pool::create(*env, {.name = options.connection_name,
                             .connect = std::move(*connect),
                             .size = pool_size(options),
                             .wait_max = std::chrono::milliseconds(options.connection_timeout_ms),
                             .idle_max = std::chrono::milliseconds(options.idle_timeout_ms),
                             .keeps_idle = shared,
                             .silence_max = std::chrono::milliseconds(options.silence_timeout_ms),
                             .env_owner = std::move(own_env)});
}

Status check_sink_pool(const Pool& pool, const SinkOptions& options) {
  auto wanted = to_connect_options(options, pool.env().files);
  if (!wanted) return fail(wanted.error());
  // Options that do not change the session: what identifies the client to the server, and time
  // limits.
  const ConnectOptions& there = pool.config().connect;
  wanted->application_name = there.application_name;
  wanted->connect_timeout = there.connect_timeout;
  wanted->given = there.given;
  wanted->password_source = there.password_source;  // Its answers may differ each time.
  wanted->trace = there.trace;                      // The pool's own, if it has one.
  if (*wanted != there) {
    return fail(Errc::kOptionConflict, "the pool of connection \"" + pool.config().name +
                                           "\" connects to another server, database or role, or "
                                           "with other settings, than this sink's options");
  }
  const size_t needed = sink_connections(options);
  if (needed <= pool.config().size) return {};
  return fail(Errc::kOptionConflict, "parallelism = " + std::to_string(options.parallelism) +
                                         " needs " + std::to_string(needed) +
                                         " connections, but the pool has connection_pool_size = " +
                                         std::to_string(pool.config().size));
}

// ---- public ------------------------------------------------------------------------------------

struct PooledConnection::Lease {
  PoolLease lease;
  Env& env;
};

PooledConnection::PooledConnection(std::unique_ptr<Lease> lease) : lease_(std::move(lease)) {}
PooledConnection::PooledConnection(PooledConnection&&) noexcept = default;
PooledConnection& PooledConnection::operator=(PooledConnection&&) noexcept = default;
PooledConnection::~PooledConnection() = default;

void PooledConnection::give_back() { lease_.reset(); }

Result<QueryRows> PooledConnection::query(std::string_view sql,
                                          std::span<const std::optional<std::string>> parameters,
                                          std::chrono::milliseconds timeout) {
  if (!lease_) return fail(Errc::kUsage, "query(): the connection was given back");
  try {
    Connection& connection = *lease_->lease;
    const Deadline deadline = lease_->env.clock.now() + timeout;
    auto result = parameters.empty() ? connection.query(sql, deadline)
                                     : connection.query(sql, parameters, deadline);
    if (!result) return fail(std::move(result.error()));
    return QueryRows{std::move(result->columns), std::move(result->rows), std::move(result->tag)};
  } catch (const std::bad_alloc&) {
    lease_->lease.drop();  // A statement may be half done.
    lease_.reset();
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

Result<std::shared_ptr<ConnectionPool>> ConnectionPool::create(const SinkOptions& options,
                                                               Env* env) {
  try {
    if (auto faults = check_options(options); !faults.empty()) return fail(faults.front());
    auto pool = make_sink_pool(options, env, true);
    if (!pool) return fail(pool.error());
    return std::shared_ptr<ConnectionPool>(new ConnectionPool(std::move(*pool)));
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

ConnectionPool::~ConnectionPool() { close(); }

Result<PooledConnection> ConnectionPool::checkout() {
  try {
    auto lease = pool_->checkout();
    if (!lease) return fail(lease.error());
    return PooledConnection(
        std::make_unique<PooledConnection::Lease>(std::move(*lease), pool_->env()));
  } catch (const std::bad_alloc&) {
    return fail(Errc::kOutOfMemory, "out of memory");
  }
}

PoolMetrics ConnectionPool::metrics() const {
  const PoolStats stats = pool_->stats();
  const auto ms = [](Duration time) {
    return std::chrono::duration<double, std::milli>(time).count();
  };
  return {.connection_name = pool_->config().name,
          .pool_size = stats.size,
          .active_connections = stats.in_use,
          .idle_connections = stats.idle,
          .opening_connections = stats.opening,
          .waiting_requests = stats.waiting,
          .requests = stats.requests,
          .requests_failed = stats.requests_failed,
          .connection_wait_time_ms = ms(stats.wait_total),
          .connection_wait_time_max_ms = ms(stats.wait_longest),
          .connections_opened = stats.opened,
          .connections_broken = stats.broken,
          .connections_reaped = stats.reaped};
}

void ConnectionPool::close() { pool_->close(); }

}  // namespace pgsink
