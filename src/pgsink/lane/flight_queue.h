#pragma once
// FlightQueue: the flights of a lane, from the first that is not committed to the open one. Their
// numbers follow each other.

#include <deque>
#include <utility>
#include <vector>

#include "pgsink/lane/flight.h"

namespace pgsink {

class FlightQueue {
 public:
  bool empty() const { return flights_.empty(); }
  size_t size() const { return flights_.size(); }
  Flight& front() { return flights_.front(); }
  const Flight& front() const { return flights_.front(); }
  auto begin() { return flights_.begin(); }
  auto end() { return flights_.end(); }
  auto begin() const { return flights_.begin(); }
  auto end() const { return flights_.end(); }

  /// The flight that takes rows; null if there is none.
  Flight* open() {
    return flights_.empty() || !flights_.back().is_open() ? nullptr : &flights_.back();
  }
  /// Opens the next one. REQUIRES: none is open.
  Flight& add(FlightLog::Seq seq, TimePoint opened_at) {
    Flight& opened = flights_.emplace_back();
    opened.seq = seq;
    opened.opened_at = opened_at;
    return opened;
  }
  /// REQUIRES: it is in the queue.
  Flight& at(FlightLog::Seq seq) {
    return flights_[static_cast<size_t>(seq - flights_.front().seq)];
  }
  /// Null if it is not in the queue.
  const Flight* find(FlightLog::Seq seq) const {
    if (flights_.empty() || seq < flights_.front().seq) return nullptr;
    return &flights_[static_cast<size_t>(seq - flights_.front().seq)];
  }
  /// Takes committed flights off the front. Returns the last batch that ended in one of them; 0 if
  /// none did.
  uint64_t pop_committed() {
    uint64_t through_batch = 0;
    for (; !flights_.empty() && flights_.front().is_committed(); flights_.pop_front()) {
      through_batch = std::max(through_batch, flights_.front().through_batch);
    }
    return through_batch;
  }
  /// Gives the memory of all that will not be written back to the host.
  void clear() { flights_.clear(); }

 private:
  std::deque<Flight> flights_;
};

}  // namespace pgsink
