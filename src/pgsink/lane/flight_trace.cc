#include "pgsink/lane/flight_trace.h"

#include <chrono>

namespace pgsink {

void FlightTrace::failed(const Flight& flight) const {
  const auto& failure = flight.attempt.failure;
  tell(FlightEvent::Kind::kFailed, flight, failure ? &failure->error : nullptr);
}

void FlightTrace::tell(FlightEvent::Kind kind, const Flight& flight, const Error* error) const {
  if (!setup_.callback) return;
  const TimePoint now = setup_.clock.now();
  const int64_t wall_us = setup_.clock.wall_us();
  const auto wall = [&](TimePoint at) {
    return wall_us - std::chrono::duration_cast<std::chrono::microseconds>(now - at).count();
  };
  const FlightEvent event{.kind = kind,
                          .connection = setup_.connection,
                          .table = setup_.table,
                          .lane = setup_.lane,
                          .flight = flight.seq,
                          .attempt = flight.attempts,
                          .rows = flight.rows_kept(),
                          .bytes = flight.attempt.encoded_bytes,
                          .queued_wall_us = wall(flight.opened_at),
                          .sent_wall_us = wall(flight.attempt.began),
                          .wall_us = wall_us,
                          .error = error};
  try {
    setup_.callback(event);
  } catch (...) {
    // A trace that cannot be written must not end the lane.
    return;
  }
}

}  // namespace pgsink
