#pragma once

#include <cstddef>
#include <cstdint>

namespace pgsink {

/// DurableReports takes what the lanes report: the Inbox itself, or a SlotConfirmer, which passes
/// the reports on once the sink's replication slot has read what they are about. Any thread.
class DurableReports {
 public:
  virtual ~DurableReports() = default;
  /// The lane's rows of all batches up to `number` are durable; under two-phase commit, prepared.
  virtual void durable(size_t lane, uint64_t number) = 0;
};

}  // namespace pgsink
