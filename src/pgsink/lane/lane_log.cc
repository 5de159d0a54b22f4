#include "pgsink/lane/lane_log.h"

#include <utility>

namespace pgsink {
namespace {

std::string number_of(size_t count, const std::string& what) {
  return std::to_string(count) + " " + what + (count == 1 ? "" : "s");
}

}  // namespace

void LaneLog::connected(const Connection& connection) {
  if (!setup_.callback) return;
  const std::string to =
      connection.endpoint() + ", server process " + std::to_string(connection.server().backend.pid);
  const std::string before = std::exchange(endpoint_, connection.endpoint());
  if (before.empty()) return tell(LogEvent::Kind::kConnected, "connected to " + to);
  if (before == endpoint_) return tell(LogEvent::Kind::kReconnected, "connected again to " + to);
  tell(LogEvent::Kind::kFailover, "continues on another server, " + to + ", instead of " + before);
}

void LaneLog::lost(const Error& error, size_t flights) {
  if (!setup_.callback) return;
  tell(LogEvent::Kind::kLost, "lost its connection to " + endpoint_ + " with " +
                                  number_of(flights, "transaction") + " on it: " + error.message);
}

void LaneLog::fenced(const BackendIdentity& backend) {
  if (!setup_.callback) return;
  tell(LogEvent::Kind::kFenced,
       "server process " + std::to_string(backend.pid) +
           " of the lost connection has ended; asking which of its transactions committed");
}

void LaneLog::committed(const Flight& flight) {
  const size_t left_out = flight.rejects.salvage.left_out().size();
  if (!setup_.callback || left_out == 0) return;
  tell(LogEvent::Kind::kLeftOut, "committed a transaction of " + number_of(flight.rows, "row") +
                                     " without " + std::to_string(left_out) +
                                     " that were rejected");
}

void LaneLog::tell(LogEvent::Kind kind, const std::string& what) const {
  const std::string message = "connection \"" + setup_.connection + "\", table " + setup_.table +
                              ", lane " + std::to_string(setup_.lane + 1) + ": " + what;
  try {
    setup_.callback({.kind = kind,
                     .connection = setup_.connection,
                     .table = setup_.table,
                     .lane = setup_.lane,
                     .message = message});
  } catch (...) {
    // A log that cannot be written must not end the lane.
    return;
  }
}

}  // namespace pgsink
