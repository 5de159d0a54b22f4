#pragma once
// Intake: takes rows from the inbox and cuts them into flights.

#include <functional>
#include <optional>

#include "pgsink/lane/flight_queue.h"
#include "pgsink/lane/inbox.h"

namespace pgsink {

class Intake {
 public:
  struct Limits {
    size_t transaction_rows = 0, transaction_bytes = 0;  ///< Either ends a flight.
    size_t batch_rows = 0;                               ///< For the name of what ended a flight.
    bool ends_for_memory = true;  ///< The only flight ends when a producer waits for memory.
  };
  Intake(Inbox& inbox, size_t lane, Limits limits) : inbox_(inbox), lane_(lane), limits_(limits) {}

  /// Takes what is due and adds it to the flights, each of at most `rows_max` rows. If
  /// `nothing_to_send` says so after that, the open flight ends once nothing more is due. When
  /// there is nothing to take, the inbox will wake the lane.
  void take(FlightQueue& flights, FlightLog& log, TimePoint now, size_t rows_max,
            const std::function<bool()>& nothing_to_send);
  /// What the inbox said last, without the rows.
  const Inbox::Taken& news() const { return news_; }

 private:
  void add(FlightQueue& flights, FlightLog& log, TimePoint now);
  BatchTrigger due_by(const Flight& open) const;
  std::optional<BatchTrigger> closes(const Flight& open, size_t flights, size_t rows_max) const;

  Inbox& inbox_;
  const size_t lane_;
  const Limits limits_;
  Inbox::Taken news_;
};

}  // namespace pgsink
