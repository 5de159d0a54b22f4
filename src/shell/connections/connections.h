#pragma once
// Connections: the connections of CREATE CONNECTION, by name, and what was written through each.

#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <pgsink/pool.h>
#include <pgsink/sink.h>

#include "shell/connections/prometheus.h"
#include "shell/connections/source_report.h"

namespace pgsink::shell {

/// Adds the counters of one sink to those of another; gauges and the last error are replaced.
void add_metrics(SinkMetrics& total, const SinkMetrics& part);

class Connections {
 public:
  /// The options of a connection; null if it does not exist. Names are compared exactly, as CREATE
  /// CONNECTION folded them. Valid until the connection is dropped or replaced.
  const SinkOptions* find(const std::string& name) const;
  /// Stores options under their connection_name and replaces existing ones; counters start again at
  /// 0.
  void put(SinkOptions options);
  /// False if it does not exist. Its sessions end, those of open sinks with their sinks.
  bool drop(const std::string& name);
  /// "; did you mean 'NAME'?" with the connection that was probably meant, or "".
  std::string did_you_mean(const std::string& name) const;

  /// The pool of a connection, made on first use. Its sessions outlive the statements that use
  /// them. Fails with kUnknownConnection, or as ConnectionPool::create().
  Result<std::shared_ptr<ConnectionPool>> pool(const std::string& name);
  /// The metrics of all connections that are written to, by name, also those that were not opened
  /// yet. Thread-safe.
  std::vector<PoolMetrics> pool_metrics() const;

  /// From now on `sink` is part of the connection's metrics, until it is retired.
  void attach(const std::string& name, const Sink* sink);
  void retire(const std::string& name, const Sink* sink);
  /// The options of all connections, by name. Thread-safe.
  std::vector<SinkOptions> all() const;
  /// Reports of all connections for monitoring, by name. Thread-safe.
  std::vector<ConnectionReport> reports() const;
  /// The pool metrics of all connections, by name. Thread-safe.
  std::vector<SinkMetrics> metrics() const;

  /// Replaces the report of a source of that name.
  void put_source_report(SourceReport report);
  /// The last report of each source, by name. Thread-safe.
  std::vector<SourceReport> source_reports() const;

 private:
  struct Connection {
    SinkOptions options;
    SinkMetrics retired;
    std::vector<const Sink*> live;
    std::shared_ptr<ConnectionPool> pool;  ///< Null before its first use.
  };
  mutable std::mutex mutex_;
  std::map<std::string, Connection> connections_;
  std::map<std::string, SourceReport> sources_;
};

}  // namespace pgsink::shell
