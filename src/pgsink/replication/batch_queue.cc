#include "pgsink/replication/batch_queue.h"

#include <algorithm>
#include <utility>

#include "pgsink/replication/change_rows.h"

namespace pgsink {

void BatchQueue::add_table(uint64_t after) { tables_.push_back({after, after}); }

void BatchQueue::push(SourceBatch batch, uint64_t before) {
  Table& table = tables_[batch.table];
  table.queued = std::max(table.queued, batch.position);
  waiting_.push_back({batch.table, batch.position, before});
  bytes_ += batch.rows.memory_bytes();
  queue_.push_back(std::move(batch));
}

void BatchQueue::announce(size_t table, const std::shared_ptr<const Schema>& schema) {
  queue_.push_back({.table = table, .rows = ChangeRows(schema).take(0), .joins = true});
}

std::optional<SourceBatch> BatchQueue::pop() {
  if (queue_.empty()) return std::nullopt;
  SourceBatch batch = std::move(queue_.front());
  queue_.pop_front();
  bytes_ -= batch.rows.memory_bytes();
  return batch;
}

void BatchQueue::confirm(size_t table, uint64_t position) {
  Table& one = tables_[table];
  one.confirmed = std::max(one.confirmed, position);
  drop_confirmed();
}

void BatchQueue::drop_confirmed() {
  while (!waiting_.empty()) {
    const Waiting& first = waiting_.front();
    if (tables_[first.table].confirmed < first.position) return;
    waiting_.pop_front();
  }
}

uint64_t BatchQueue::safe(uint64_t seen) {
  // A truncate has the position of what was confirmed before it.
  drop_confirmed();
  safe_ = std::max(safe_, waiting_.empty() ? seen : waiting_.front().before);
  return safe_;
}

}  // namespace pgsink
