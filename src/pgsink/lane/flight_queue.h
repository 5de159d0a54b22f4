#pragma once
// FlightQueue: the flights of a lane, from the first that is not committed to the open one. Their
// numbers follow each other.

#include <algorithm>
#include <deque>
#include <memory>
#include <ranges>
#include <utility>
#include <vector>

#include "pgsink/lane/flight.h"

namespace pgsink {

class FlightQueue {
 public:
  bool empty() const { return flights_.empty(); }
  size_t size() const { return flights_.size(); }
  Flight& front() { return *flights_.front(); }
  const Flight& front() const { return *flights_.front(); }
  auto all() {
    return flights_ | std::views::transform([](auto& flight) -> Flight& { return *flight; });
  }
  auto all() const {
    return flights_ | std::views::transform([](auto& flight) -> const Flight& { return *flight; });
  }

  /// The flight that takes rows; null if there is none.
  Flight* open() {
    return flights_.empty() || !flights_.back()->is_open() ? nullptr : flights_.back().get();
  }
  /// Opens the next one. REQUIRES: none is open.
  Flight& add(FlightLog::Seq seq, TimePoint opened_at) {
    Flight& opened = *flights_.emplace_back(std::make_unique<Flight>());
    opened.seq = seq;
    opened.opened_at = opened_at;
    return opened;
  }
  /// REQUIRES: it is in the queue.
  Flight& at(FlightLog::Seq seq) { return *flights_[static_cast<size_t>(seq - front().seq)]; }
  /// Null if it is not in the queue.
  const Flight* find(FlightLog::Seq seq) const {
    if (flights_.empty() || seq < front().seq) return nullptr;
    return flights_[static_cast<size_t>(seq - front().seq)].get();
  }
  /// Puts one between a flight and the next. Those that follow get the next number.
  void insert_after(const Flight& flight, Flight inserted) {
    const auto place = static_cast<ptrdiff_t>(flight.seq + 1 - front().seq);
    inserted.seq = flight.seq;
    const auto first =
        flights_.insert(flights_.begin() + place, std::make_unique<Flight>(std::move(inserted)));
    std::for_each(first, flights_.end(), [](auto& later) { ++later->seq; });
  }
  /// Takes committed flights off the front. Returns the last batch that ended in one of them; 0 if
  /// none did.
  uint64_t pop_committed() {
    uint64_t through_batch = 0;
    for (; !flights_.empty() && front().is_committed(); flights_.pop_front()) {
      through_batch = std::max(through_batch, front().through_batch);
    }
    return through_batch;
  }
  /// Gives the memory of all that will not be written back to the host.
  void clear() { flights_.clear(); }

 private:
  std::deque<std::unique_ptr<Flight>> flights_;
};

}  // namespace pgsink
