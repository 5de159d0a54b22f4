#pragma once
// FlightTrace: tells the host's callback what becomes of each attempt of a lane.

#include <string>

#include <pgsink/flight_event.h>

#include "pgsink/client/env.h"
#include "pgsink/lane/flight.h"

namespace pgsink {

class FlightTrace {
 public:
  struct Setup {
    Clock& clock;
    FlightCallback callback;  ///< Empty: nobody listens, and nothing costs anything.
    std::string connection, table;
    size_t lane = 0;
  };
  explicit FlightTrace(Setup setup) : setup_(std::move(setup)) {}

  void sent(const Flight& flight) const { tell(FlightEvent::Kind::kSent, flight, nullptr); }
  void committed(const Flight& flight) const {
    tell(FlightEvent::Kind::kCommitted, flight, nullptr);
  }
  /// Its last attempt ended without a commit.
  void failed(const Flight& flight) const;
  void lost(const Flight& flight, const Error& error) const {
    tell(FlightEvent::Kind::kLost, flight, &error);
  }

 private:
  void tell(FlightEvent::Kind kind, const Flight& flight, const Error* error) const;

  const Setup setup_;
};

}  // namespace pgsink
