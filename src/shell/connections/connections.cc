#include "shell/connections/connections.h"

#include <algorithm>

#include "pgsink/options/names.h"
#include "pgsink/options/rules.h"

namespace pgsink::shell {

void add_metrics(SinkMetrics& total, const SinkMetrics& part) { total.merge(part); }

const SinkOptions* Connections::find(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(name);
  return found == connections_.end() ? nullptr : &found->second.options;
}

void Connections::put(SinkOptions options) {
  Connection connection;
  connection.retired.connection_name = options.connection_name;
  connection.options = std::move(options);
  const std::lock_guard lock(mutex_);
  std::swap(connections_[connection.retired.connection_name], connection);
}  // The previous pool is closed after unlocking.

bool Connections::drop(const std::string& name) {
  const auto dropped = [&] {
    const std::lock_guard lock(mutex_);
    return connections_.extract(name);
  }();
  return !dropped.empty();
}

Result<std::shared_ptr<ConnectionPool>> Connections::pool(const std::string& name) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(name);
  if (found == connections_.end()) {
    return fail(Errc::kUnknownConnection, "there is no connection '" + name + "'");
  }
  Connection& connection = found->second;
  if (!connection.pool) {
    auto made = ConnectionPool::create(connection.options);
    if (!made) return made;
    connection.pool = std::move(*made);
  }
  return connection.pool;
}

std::vector<PoolMetrics> Connections::pool_metrics() const {
  const std::lock_guard lock(mutex_);
  std::vector<PoolMetrics> all;
  for (const auto& [name, connection] : connections_) {
    if (connection.options.type == ConnectionType::kSource) continue;
    if (connection.pool) {
      all.push_back(connection.pool->metrics());
    } else {
      all.push_back({.connection_name = name, .pool_size = pool_size(connection.options)});
    }
  }
  return all;
}

std::string Connections::did_you_mean(const std::string& name) const {
  const std::lock_guard lock(mutex_);
  std::vector<std::string_view> names;
  names.reserve(connections_.size());
  for (const auto& entry : connections_) names.push_back(entry.first);
  const std::string_view nearest = nearest_name(name, names);
  return nearest.empty() ? "" : "; did you mean '" + std::string(nearest) + "'?";
}

void Connections::attach(const std::string& name, const Sink* sink) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(name);
  if (found != connections_.end()) found->second.live.push_back(sink);
}

void Connections::retire(const std::string& name, const Sink* sink) {
  const std::lock_guard lock(mutex_);
  const auto found = connections_.find(name);
  if (found == connections_.end()) return;
  if (std::erase(found->second.live, sink) == 0) return;
  SinkMetrics last = sink->metrics();
  last.in_flight_rows = 0;
  last.buffered_bytes = 0;
  last.waiting_since_wall_us = 0;
  last.connections_open = 0;
  last.lanes_failing = 0;
  last.sinks_stopped = 0;
  add_metrics(found->second.retired, last);
}

std::vector<ConnectionReport> Connections::reports() const {
  const std::lock_guard lock(mutex_);
  std::vector<ConnectionReport> reports;
  for (const auto& [name, connection] : connections_) {
    ConnectionReport report;
    report.metrics = connection.retired;
    for (const Sink* sink : connection.live) report.metrics.merge(sink->metrics());
    report.mode = write_mode_name(connection.options.write_mode);
    report.connections_max = pool_size(connection.options);
    report.buffer_bytes = static_cast<uint64_t>(connection.options.buffer_bytes);
    report.live_sinks = connection.live.size();
    reports.push_back(std::move(report));
  }
  return reports;
}

std::vector<SinkOptions> Connections::all() const {
  const std::lock_guard lock(mutex_);
  std::vector<SinkOptions> all;
  all.reserve(connections_.size());
  for (const auto& entry : connections_) all.push_back(entry.second.options);
  return all;
}

std::vector<SinkMetrics> Connections::metrics() const {
  const std::lock_guard lock(mutex_);
  std::vector<SinkMetrics> all;
  for (const auto& [name, connection] : connections_) {
    SinkMetrics total = connection.retired;
    for (const Sink* sink : connection.live) add_metrics(total, sink->metrics());
    all.push_back(std::move(total));
  }
  return all;
}

void Connections::put_source_report(SourceReport report) {
  const std::scoped_lock lock(mutex_);
  std::string name = report.name;
  sources_[std::move(name)] = std::move(report);
}

std::vector<SourceReport> Connections::source_reports() const {
  const std::scoped_lock lock(mutex_);
  std::vector<SourceReport> reports;
  reports.reserve(sources_.size());
  for (const auto& entry : sources_) reports.push_back(entry.second);
  return reports;
}

}  // namespace pgsink::shell
