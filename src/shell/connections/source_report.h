#pragma once
// SourceReport: a source of streams for monitoring.

#include <cstdint>
#include <string>
#include <vector>

namespace pgsink::shell {

/// StreamReport is one stream that the process has: a partition of a topic.
struct StreamReport {
  std::string topic;
  int32_t partition = 0;
  uint64_t position = 0;     ///< The offset of the next message to read.
  uint64_t lag_records = 0;  ///< Messages that were not read yet.
  double lag_seconds = 0;    ///< Age of the message that was read last; 0 without a lag.
};

struct SourceReport {
  std::string name;  ///< Of the connection.
  std::vector<StreamReport> streams;
  uint64_t records = 0;     ///< Messages read.
  uint64_t rejected = 0;    ///< Of them malformed.
  uint64_t rebalances = 0;  ///< Changes of the assignment.
  uint64_t fenced = 0;      ///< How often others had taken partitions that it believed to have.
};

}  // namespace pgsink::shell
