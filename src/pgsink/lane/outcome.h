#pragma once

#include <vector>

#include "pgsink/lane/lane_delivery.h"
#include "pgsink/lane/own_transactions.h"

namespace pgsink {

/// OwnAtFence is what the sink had sent when a lane fenced its old backend.
struct OwnAtFence {
  OwnTransactions& own;
  size_t lane = 0;
  std::vector<uint64_t> sent{};
};

/// ask_outcome asks the server about a flight whose answer was lost, as the log requires: kFence,
/// kAskStatus, kCountCommits or kResolve. Returns the event for the log. Fails if the connection
/// broke.
Result<FlightLog::Event> ask_outcome(const FlightLog::Action& action, const Flight& flight,
                                     FlightLog::Seq committed_prefix, LaneDelivery& delivery,
                                     Connection& connection, Env& env, OwnAtFence& own);

}  // namespace pgsink
