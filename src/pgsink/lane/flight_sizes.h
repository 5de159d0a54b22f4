#pragma once
// FlightSizes: how many rows the next transactions of a lane may take, where no option says so.
// They are as large as memory allows until one fails: then the next ones are small, so that little
// is sent again, and grow with each that commits.

#include <cstddef>

#include "pgsink/lane/flight_queue.h"
#include "pgsink/lane/lane_session.h"

namespace pgsink {

class FlightSizes {
 public:
  struct Limits {
    bool grow = false;           ///< Otherwise flights are never cut, and rows_max() has no limit.
    size_t rows_first = 1;       ///< The limit after a failure.
    bool whole_batches = false;  ///< A flight ends where a batch of the host ends.
  };
  FlightSizes(Limits limits, FlightQueue& flights, FlightLog& log)
      : limits_(limits), flights_(flights), log_(log) {}

  /// The rows that a flight may take.
  size_t rows_max() const { return rows_max_; }
  /// Whether the open flight may end although more rows would fit into it.
  bool grow() const { return limits_.grow; }

  /// An attempt failed. REQUIRES: the flight is not on the wire.
  void failed();
  /// A flight committed.
  void committed();

  /// Makes the rows from about `row` on a flight of their own, which follows. False if nothing was
  /// cut: there are no such rows, or the flight must stay whole.
  bool cut(Flight& flight, size_t row, LaneSession& session);
  /// Cuts a flight that was not sent yet and is larger than rows_max().
  void fit(Flight& flight, LaneSession& session);

 private:
  static constexpr size_t kNoLimit = std::numeric_limits<size_t>::max();

  const Limits limits_;
  FlightQueue& flights_;
  FlightLog& log_;
  size_t rows_max_ = kNoLimit;
};

}  // namespace pgsink
