#pragma once
// ConnectionPool: the connections of one name, shared by all sinks that write through it and by the
// program itself. A sink that is given none makes one for itself.
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

/// QueryRows is what a statement returned, as text.
struct QueryRows {
  std::vector<std::string> columns;
  std::vector<std::vector<std::optional<std::string>>> rows;  ///< nullopt: NULL
  std::string tag;  ///< Of the last command, for example "UPDATE 3".
};

/// PooledConnection is a session that its holder has alone, until it gives it back: by the
/// destructor or give_back(). It comes as after login, and whatever its holder does to it (roles,
/// settings, temporary tables, prepared statements, locks) is undone before the next one gets it;
/// an open transaction is rolled back. One user at a time.
class PooledConnection {
 public:
  PooledConnection(PooledConnection&&) noexcept;
  PooledConnection& operator=(PooledConnection&&) noexcept;
  ~PooledConnection();

  /// Query runs one statement with $1… given as text, or, without parameters, one or several. An
  /// error of the server (kServer, with its SQLSTATE) leaves the connection usable; a `timeout`,
  /// or a broken connection, does not: then check out another. Fails with kUsage once given back.
  Result<QueryRows> query(std::string_view sql,
                          std::span<const std::optional<std::string>> parameters = {},
                          std::chrono::milliseconds timeout = std::chrono::seconds(60));
  /// Gives the session back. Idempotent.
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
  /// Create makes a pool of options.connection_pool_size connections to where `options` say. Left
  /// at its default, the size is what one sink of these options needs if that is more: a connection
  /// for each lane, and with use_2pc one more. Nothing is opened yet. Fails as check_options().
  /// `env` as in Sink::open(): it must outlive everything of the pool.
  static Result<std::shared_ptr<ConnectionPool>> create(const SinkOptions& options,
                                                        Env* env = nullptr);
  /// Closes.
  ~ConnectionPool();
  ConnectionPool(const ConnectionPool&) = delete;
  ConnectionPool& operator=(const ConnectionPool&) = delete;

  /// Checkout lends a connection. Waits for its turn, up to connection_timeout_ms: fails with
  /// kPoolTimeout, and the state of the pool in the message, after that; with kInterrupted once the
  /// pool is closed; or as connecting fails.
  Result<PooledConnection> checkout();
  /// A snapshot. Any thread.
  PoolMetrics metrics() const;
  /// Close ends idle connections now, the others when they are given back. Sinks that are open go
  /// on. Idempotent.
  void close();

  /// For the library itself.
  const std::shared_ptr<Pool>& pool() const { return pool_; }

 private:
  explicit ConnectionPool(std::shared_ptr<Pool> pool) : pool_(std::move(pool)) {}
  std::shared_ptr<Pool> pool_;
};

}  // namespace pgsink
