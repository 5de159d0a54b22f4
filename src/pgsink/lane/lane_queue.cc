#include "pgsink/lane/lane_queue.h"

#include <algorithm>
#include <utility>

namespace pgsink {
namespace {

/// As many of the first rows as fit; the last one may go beyond `bytes_max`, so that it is reached.
size_t rows_within(const Piece& piece, size_t rows_max, size_t bytes_max) {
  const size_t bytes = piece.memory_bytes();
  const size_t rows = std::min(rows_max, piece.rows.count);
  if (bytes <= bytes_max) return rows;
  const size_t row_bytes = bytes / piece.rows.count;
  return std::min(rows, (bytes_max + row_bytes - 1) / row_bytes);
}

}  // namespace

void LaneQueue::add(Piece piece) {
  rows_ += piece.rows.count;
  bytes_ += piece.memory_bytes();
  const uint64_t batch = piece.source->number;
  if (pending_.empty() || pending_.back() != batch) pending_.push_back(batch);
  pieces_.push_back(std::move(piece));
}

std::vector<Piece> LaneQueue::take(Limits limits) {
  std::vector<Piece> pieces;
  const auto has_room = [&] { return limits.rows_max > 0 && limits.bytes_max > 0; };
  while (!pieces_.empty() && (has_room() || pieces_.front().rows.count == 0)) {
    Piece& front = pieces_.front();
    if (front.source->number > limits.through_batch) break;
    taken_ = front.source->number;
    Piece part = front;
    if (!limits.whole_batches) {
      part.rows.count = rows_within(front, limits.rows_max, limits.bytes_max);
    }
    part.last = front.last && part.rows.count == front.rows.count;
    rows_ -= part.rows.count;
    bytes_ -= std::min(bytes_, part.memory_bytes());
    limits.rows_max -= std::min(limits.rows_max, part.rows.count);
    limits.bytes_max -= std::min(limits.bytes_max, part.memory_bytes());
    front.rows.begin += part.rows.count;
    front.rows.count -= part.rows.count;
    const bool exhausted = front.rows.count == 0;
    pieces.push_back(std::move(part));
    if (exhausted) pieces_.pop_front();
  }
  if (pieces_.empty()) bytes_ = 0;
  return pieces;
}

void LaneQueue::begin_transaction() {
  if (!pieces_.empty()) taken_ = first_batch();
}

void LaneQueue::settle(uint64_t through_batch) {
  durable_ = std::max(durable_, through_batch);
  while (!pending_.empty() && pending_.front() <= through_batch) pending_.pop_front();
}

}  // namespace pgsink
