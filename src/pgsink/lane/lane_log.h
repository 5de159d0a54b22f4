#pragma once
// LaneLog: tells the host's callback what happens to the connection of a lane.

#include <string>

#include <pgsink/flight_event.h>

#include "pgsink/client/connection.h"
#include "pgsink/lane/flight.h"

namespace pgsink {

class LaneLog {
 public:
  struct Setup {
    LogCallback callback;  ///< Empty: nobody listens.
    std::string connection, table;
    size_t lane = 0;
  };
  explicit LaneLog(Setup setup) : setup_(std::move(setup)) {}

  /// The first time, or again after lost().
  void connected(const Connection& connection);
  /// With that many transactions on it.
  void lost(const Error& error, size_t flights);
  void fenced(const BackendIdentity& backend);
  /// Says something if it was committed without some of its rows.
  void committed(const Flight& flight);

 private:
  void tell(LogEvent::Kind kind, const std::string& what) const;

  const Setup setup_;
  std::string endpoint_;  ///< Of the connection, or of the one before it; "": there was none.
};

}  // namespace pgsink
