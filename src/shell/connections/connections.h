#pragma once
// Connections: what CREATE CONNECTION made, by name, and what was written through each.

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/pool.h>
#include <pgsink/sink.h>

#include "shell/connections/prometheus.h"

namespace pgsink::shell {

/// Adds the counters of one sink's life to another's; gauges and the last error are taken over.
void add_metrics(SinkMetrics& total, const SinkMetrics& part);

class Connections {
 public:
  /// The options of a connection; null if there is none of that name. Names compare exactly, as
  /// CREATE CONNECTION folded them. Valid until the connection is dropped or replaced.
  const SinkOptions* find(const std::string& name) const;
  /// Stores options under their connection_name, in the place of any before; counters begin anew.
  void put(SinkOptions options);
  /// False if there is none of that name. Its sessions end, those of open sinks with their sinks.
  bool drop(const std::string& name);
  /// "; did you mean 'NAME'?" with the connection that a reader would guess was meant, or "".
  std::string did_you_mean(const std::string& name) const;

  /// The pool of a connection, made when it is first asked for. Its sessions outlive the statements
  /// that use them. Fails with kUnknownConnection, or as ConnectionPool::create().
  Result<std::shared_ptr<ConnectionPool>> pool(const std::string& name);
  /// Of all connections that are written to, by name, also where nothing was opened yet. Any
  /// thread.
  std::vector<PoolMetrics> pool_metrics() const;

  /// From now on `sink` is part of the connection's metrics, until it is retired.
  void attach(const std::string& name, const Sink* sink);
  void retire(const std::string& name, const Sink* sink);
  /// The options of all connections, by name. Any thread.
  std::vector<SinkOptions> all() const;
  /// Of all connections, by name, as monitoring sees them. Any thread.
  std::vector<ConnectionReport> reports() const;
  /// Of all connections, by name. Any thread.
  std::vector<SinkMetrics> metrics() const;

 private:
  struct Connection {
    SinkOptions options;
    SinkMetrics retired;
    std::vector<const Sink*> live;
    std::shared_ptr<ConnectionPool> pool;  ///< Null until asked for.
  };
  mutable std::mutex mutex_;
  std::map<std::string, Connection> connections_;
};

}  // namespace pgsink::shell
