#pragma once
// BatchQueue: the batches of a source between its task and its consumer, and what the consumer has
// confirmed. Several tables share one slot, so the server may discard only what is before the first
// batch, of any table, that is not confirmed. Pure, and not thread-safe: its user locks.

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <vector>

#include "pgsink/source.h"

namespace pgsink {

class BatchQueue {
 public:
  explicit BatchQueue(size_t bytes_max) : bytes_max_(bytes_max) {}

  /// The next table; its consumer has everything up to `after`.
  void add_table(uint64_t after);
  size_t tables() const { return tables_.size(); }

  /// A batch that says that the next table joins; it is not waited for.
  void announce(size_t table, const std::shared_ptr<const Schema>& schema);

  bool has_room() const { return queue_.empty() || bytes_ < bytes_max_; }
  bool empty() const { return queue_.empty(); }
  /// All that the server sent up to `before` is in earlier batches; 0: unknown, or a batch of the
  /// snapshot.
  void push(SourceBatch batch, uint64_t before);
  std::optional<SourceBatch> pop();

  void confirm(size_t table, uint64_t position);
  uint64_t confirmed(size_t table) const { return tables_[table].confirmed; }
  /// Position of the last batch of that table.
  uint64_t queued(size_t table) const { return tables_[table].queued; }
  /// Whether the consumer has confirmed every batch.
  bool all_confirmed() const { return waiting_.empty(); }
  /// How far the server may discard: `seen` if nothing waits. Never decreases.
  uint64_t safe(uint64_t seen);

 private:
  struct Table {
    uint64_t queued = 0, confirmed = 0;
  };
  /// A batch that is not confirmed, in the order in which they came.
  struct Waiting {
    size_t table;
    uint64_t position, before;
  };
  void drop_confirmed();

  const size_t bytes_max_;
  std::vector<Table> tables_;
  std::deque<SourceBatch> queue_;
  size_t bytes_ = 0;
  std::deque<Waiting> waiting_;
  uint64_t safe_ = 0;
};

}  // namespace pgsink
