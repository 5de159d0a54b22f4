#pragma once
// What is remembered of a source across its runs: compared with what there is before the source
// streams, and kept up to date before its server may discard anything.

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "pgsink/replication/source_slots.h"
#include "pgsink/replication/source_watch.h"
#include "pgsink/source.h"

namespace pgsink {

class SourceRecord {
 public:
  /// `options` outlive it.
  explicit SourceRecord(const SinkOptions& options) : options_(options) {}

  /// Reads the memory; null: nothing is remembered. A role that may not have its table gets a
  /// warning, and all that holds without it; with the option `tables` it fails.
  Status load(std::unique_ptr<SourceMemory> memory, std::vector<std::string>& warnings);
  bool is_kept() const { return memory_ != nullptr; }

  /// What the publication shows now of a table that was read before; nothing if that table is not
  /// wanted any more.
  using StateNow = std::function<Result<std::optional<PublicationState>>(const PublicationState&)>;
  /// Fails with kReplication if changes were lost since the last run, unless that is accepted.
  /// `after` is the consumer's own position. An accepted loss of one of many `tables` concerns only
  /// that table.
  Status check(const SourceSlots::There& there, const std::string& server, const StateNow& now,
               uint64_t after);
  /// Whether a run before had the whole snapshot of the table with that oid.
  bool has_table(uint32_t oid) const;
  /// Where the server is to begin, because what is before was accepted as lost; 0: nothing was.
  uint64_t begins_at() const { return begins_at_; }
  /// The source streams from now on. `position` is where the slot is.
  Status begin(const std::string& server, std::span<const PublicationState> now, uint64_t position);
  /// To be called before the server may discard what is before `position`. Also where the consumer
  /// knows its position: after a crash it may know only an earlier one, because a lane without rows
  /// does not store one.
  Status keep(uint64_t position);
  /// Whether keep() would write.
  bool writes(uint64_t position) const;

 private:
  Status lost(const std::string& what, uint64_t until, uint64_t least);
  bool accepts(uint64_t least) const;
  Status check_tables(const SourceSlots::There& there, const StateNow& now, uint64_t left_at);

  const SinkOptions& options_;
  std::unique_ptr<SourceMemory> memory_;
  SourceState state_;
  uint64_t begins_at_ = 0;
};

}  // namespace pgsink
