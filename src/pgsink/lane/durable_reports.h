#pragma once

#include <cstddef>
#include <cstdint>

namespace pgsink {

/// DurableReports receives the reports of the lanes: the Inbox itself, or a SlotConfirmer, which
/// passes them on once the sink's replication slot has read the reported commits. Thread-safe.
class DurableReports {
 public:
  virtual ~DurableReports() = default;
  /// The lane's rows of all batches up to `number` are durable; under two-phase commit, prepared.
  virtual void durable(size_t lane, uint64_t number) = 0;
};

}  // namespace pgsink
