#pragma once
// LaneMetrics: the counters of a lane. The lane writes, any thread reads.

#include <memory>
#include <string_view>

#include <pgsink/metrics.h>

#include "pgsink/client/env.h"
#include "pgsink/lane/flight.h"

namespace pgsink {

class LaneMetrics {
 public:
  explicit LaneMetrics(Env& env) : clock_(env.clock), monitor_(env.tasks.monitor()) {}

  void connected();
  /// The lane no longer needs the connection.
  void disconnected();
  /// The connection broke, with that many flights on it.
  void lost(size_t flights);
  /// Whether something failed, and nothing has succeeded since.
  void show_failing(bool failing);
  void error(const Error& error);

  /// A flight was begun; `retries` are those of the lane so far.
  void began(const Flight& flight, bool possible_duplicate, uint64_t retries);
  void in_flight(uint64_t rows);
  void failed_write();
  void committed(const Flight& flight);
  uint64_t rows_written() const;

  /// A statement of a flight was answered. Its time runs from the answer before it, or from the
  /// flight's beginning.
  void statement(std::string_view text, const Flight& flight, uint64_t rows, bool failed);

  /// Any thread.
  void read(SinkMetrics& metrics) const;

 private:
  Clock& clock_;
  TimePoint answered_at_{};     ///< Time of the last answer.
  bool failing_shown_ = false;  ///< As shown in the metrics.
  std::unique_ptr<Monitor> monitor_;
  SinkMetrics metrics_;  ///< Guarded by monitor_.
};

}  // namespace pgsink
