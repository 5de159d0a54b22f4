#pragma once
// The metrics of all connections for Prometheus: names, units and types follow its conventions
// (seconds, bytes, counters end in _total), one name has one unit, labels are bounded.

#include <string>
#include <vector>

#include <pgsink/metrics.h>
#include <pgsink/options.h>

#include "shell/connections/source_report.h"

namespace pgsink::shell {

/// ConnectionReport is one connection for monitoring.
struct ConnectionReport {
  SinkMetrics metrics;
  std::string mode;              ///< "insert", "upsert", …
  uint64_t connections_max = 0;  ///< connection_pool_size
  uint64_t buffer_bytes = 0;     ///< The option, of each sink.
  size_t live_sinks = 0;         ///< In the pipeline that runs now.
};

/// "insert", "upsert", …
std::string write_mode_name(WriteMode mode);

/// prometheus_text is the whole answer to GET /metrics, in the text format 0.0.4.
std::string prometheus_text(const std::vector<ConnectionReport>& connections,
                            const std::vector<SourceReport>& sources = {});

/// not_ready says why rows of a running pipeline make no progress, one line for each connection;
/// empty if all do. `now_wall_us` is microseconds since 1970.
std::vector<std::string> not_ready(const std::vector<ConnectionReport>& connections,
                                   int64_t now_wall_us);

}  // namespace pgsink::shell
