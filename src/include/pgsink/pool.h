#pragma once
// ConnectionPool: the connections of one name, shared by all sinks that write through it and by the
// program itself. A sink without a pool makes its own.
//
//   auto pool = pgsink::ConnectionPool::create(options);            // connects to nothing yet
//   auto sink = pgsink::Sink::open(options, schema, nullptr, *pool);
//   auto connection = (*pool)->checkout();                          // beside the sink
//   connection->query("SELECT count(*) FROM orders");

#include <chrono>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <pgproto/error.h>

#include <pgsink/metrics.h>
#include <pgsink/options.h>

namespace pgsink {

struct Env;
class Pool;

/// QueryRows is the result of a statement, as text.
struct QueryRows {
  std::vector<std::string> columns;                           ///< Names of the columns.
  std::vector<std::vector<std::optional<std::string>>> rows;  ///< nullopt is NULL.
  std::string tag;  ///< The tag of the last command, for example "UPDATE 3".
};

/// PooledConnection is a session for exclusive use until it is given back, by the destructor or
/// give_back(). It is in the state after login. Whatever its user changes (roles, settings,
/// temporary tables, prepared statements, locks) is undone before the next user gets it; an open
/// transaction is rolled back. One thread at a time.
class PooledConnection {
 public:
  PooledConnection(PooledConnection&&) noexcept;
  PooledConnection& operator=(PooledConnection&&) noexcept;
  ~PooledConnection();

  /// query runs one statement with $1… given as text, or, without parameters, one or several
  /// statements. An error of the server (kServer, with its SQLSTATE) leaves the connection usable;
  /// a `timeout`, or a broken connection, does not: then check out another one. Fails with kUsage
  /// after give_back().
  Result<QueryRows> query(std::string_view sql,
                          std::span<const std::optional<std::string>> parameters = {},
                          std::chrono::milliseconds timeout = std::chrono::seconds(60));
  /// give_back returns the session to the pool. Idempotent.
  void give_back();

 private:
  friend class ConnectionPool;
  struct Lease;
  explicit PooledConnection(std::unique_ptr<Lease> lease);
  std::unique_ptr<Lease> lease_;
};

/// ConnectionPool is thread-safe. Sinks and connections that were taken from it may outlive it.
class ConnectionPool {
 public:
  /// create makes a pool of options.connection_pool_size connections to the server in `options`. If
  /// that option has its default and one sink of these options needs more, the size is what it
  /// needs: a connection for each lane, and one more with use_2pc. Nothing is opened yet. Fails as
  /// check_options(). `env` as in Sink::open(): it must outlive the pool and everything taken from
  /// it.
  static Result<std::shared_ptr<ConnectionPool>> create(const SinkOptions& options,
                                                        Env* env = nullptr);
  /// The destructor closes.
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  /// checkout takes a connection. It waits for its turn, up to connection_timeout_ms. Fails with
  /// kPoolTimeout and the state of the pool after that time, with kInterrupted once the pool is
  /// closed, or with the error of connecting.
  Result<PooledConnection> checkout();
  /// metrics returns a snapshot. Thread-safe.
  PoolMetrics metrics() const;
  /// close closes idle connections now, and the others when they are given back. Open sinks
  /// continue. Idempotent.
  void close();

  /// The library's own pool. Internal.
  const std::shared_ptr<Pool>& pool() const { return pool_; }

 private:
  explicit ConnectionPool(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}
  std::shared_ptr<Pool> pool_;
};

}  // namespace pgsink
