#pragma once

#include "pgsink/lane/lane_delivery.h"

namespace pgsink {

/// ask_outcome asks the server about a flight whose answer was lost, as the log requires: kFence,
/// kAskStatus or kResolve. Returns the event for the log. Fails if the connection broke.
Result<FlightLog::Event> ask_outcome(const FlightLog::Action& action, const Flight& flight,
                                     FlightLog::Seq committed_prefix, LaneDelivery& delivery,
                                     Connection& connection, Env& env);

}  // namespace pgsink
