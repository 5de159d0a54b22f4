#pragma once
// SourceChecks: whether a source may have lost changes, because somebody else moved its slot or
// altered its publication or its tables, while it runs or while it did not. For the source's task.

#include <span>
#include <string>
#include <vector>

#include "pgsink/client/connection.h"
#include "pgsink/replication/source_record.h"
#include "pgsink/replication/source_setup.h"
#include "pgsink/replication/source_slots.h"

namespace pgsink {

class SourceChecks {
 public:
  /// Both outlive it.
  SourceChecks(const SinkOptions& options, Clock& clock)
      : options_(options), clock_(clock), record_(options) {}

  SourceRecord& record() { return record_; }

  /// Once this source has read from the slot, only it may move the slot.
  Status check_slot(const SourceSlots::There& there);
  /// Whether the publication still shows what it showed when the tables were opened.
  Status check_publication(Connection& asking, std::span<const TableSetup> tables);
  /// Whether nothing was lost since the last run. `after` is the consumer's own position.
  Status check_record(const SourceSlots::There& there, Connection& asking,
                      std::span<const TableSetup> tables, uint64_t after);
  /// The error of a stream, with what follows if it is about the publication.
  Error explain(const Error& error, std::span<const TableSetup> tables) const;
  /// The error if the slot existed and is gone: the changes that it retained, after those that the
  /// consumer has, are lost.
  Error slot_is_gone(uint64_t consumer_has) const;
  /// The error of a table that is not remembered, though the consumer has it up to a position.
  static Error was_not_read(const TableSetup& table, uint64_t consumer_has);

  /// The server has sent something from the slot: everything up to `lsn`.
  void streamed(uint64_t lsn);
  uint64_t received() const { return received_; }
  /// The slot is there, or will be.
  void slot_moves(uint64_t lsn);
  /// The furthest place of the slot that is known; 0: none.
  uint64_t slot_at() const { return slot_at_; }
  /// When the publication was last read.
  TimePoint checked() const { return checked_; }

 private:
  std::string loss() const;

  const SinkOptions& options_;
  Clock& clock_;
  SourceRecord record_;
  bool streamed_ = false;
  uint64_t received_ = 0, slot_at_ = 0;
  TimePoint checked_{};
  uint64_t checked_lsn_ = 0;  ///< Up to here the publication was as it should be.
};

}  // namespace pgsink
